"""What the figures mean: percentiles, medians, ratios, and when paced streams count as held."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

STALL_S = 1.0
STALL_FREE_SHARE = 0.99


LEVELS: tuple[int, ...] = (
    *(1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 75, 100, 125, 150, 175, 200, 250, 300, 350, 400),
    *(450, 500, 550, 600, 650, 700, 750, 800, 850, 900, 950, 1000, 1100, 1200, 1300, 1400),
    *(1500, 1600, 1800, 2000),
)
COARSE_LEVELS = (1, 5, 10, 25, 50, 100, 200, 400, 600, 800, 1000, 1200, 1600, 2000)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median(values: Sequence[float]) -> float | None:
    """The median over the rounds, or None when no round gave a figure."""
    return statistics.median(values) if values else None


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """Ours over theirs, or None when one is unknown or theirs is nothing."""
    return None if ours is None or not theirs else ours / theirs


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer. Times in microseconds; `began_us` is since the start of the load. All but it and
    the latency stay 0 for an answer that is not streamed."""

    latency_us: int
    first_event_us: int
    worst_gap_us: int
    span_us: int
    events: int
    began_us: int = 0


@dataclass(frozen=True, slots=True)
class PacedRun:
    """What came of opening `streams` streams of `tokens` events, one every `pace_us`."""

    streams: int
    tokens: int
    pace_us: int
    samples: Sequence[Sample]

    @property
    def ideal_span_us(self) -> int:
        """From the first event to the last when nothing is late."""
        return (self.tokens - 1) * self.pace_us

    def is_smooth(self, sample: Sample) -> bool:
        """No wait between two chunks reached a second, and the end was not a second late."""
        stall_us = STALL_S * 1e6
        late_us = sample.span_us - self.ideal_span_us
        return sample.worst_gap_us < stall_us and late_us < stall_us

    @property
    def holds(self) -> bool:
        """Every stream ended whole, and at least 99 % of them were smooth."""
        if len(self.samples) < self.streams:
            return False
        smooth = sum(map(self.is_smooth, self.samples))
        return smooth >= STALL_FREE_SHARE * self.streams


def is_warm(rates: Sequence[float]) -> bool:
    """After five bursts: neither of the last two is 5 % faster than the best before them."""
    return len(rates) >= 5 and max(rates[-2:]) < 1.05 * max(rates[:-2])


def highest_holding(
    holds: Callable[[int], bool],
    *,
    start: int,
    levels: Sequence[int] = LEVELS,
    tries: int = 2,
) -> int:
    """The highest level that holds with every tried level below it, or 0.

    Begins at the level nearest to `start` and walks up while levels hold, else down until one
    does. A level fails only when `tries` tries fail, because the machine may have hiccupped.
    """

    def held(index: int) -> bool:
        return any(holds(levels[index]) for _ in range(tries))

    index = min(range(len(levels)), key=lambda i: abs(levels[i] - start))
    if held(index):
        while index + 1 < len(levels) and held(index + 1):
            index += 1
        return levels[index]
    while index > 0:
        index -= 1
        if held(index):
            return levels[index]
    return 0
