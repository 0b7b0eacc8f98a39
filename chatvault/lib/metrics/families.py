"""What a figure is: its name, its kind and how those of several processes become one."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from chatvault.lib import clock

Kind = Literal["counter", "gauge", "histogram"]
Values = tuple[str, ...]  # of a row's labels, in the family's order
Number = int | float
Row = Sequence[Number]  # one number; of a histogram the count of each bucket, then the sum
Rows = Mapping[Values, Row]

OTHER: Final = "other"
"""The label value of all that is beyond what a family may have."""
NANO: Final = 1_000_000_000


class Family(msgspec.Struct, frozen=True):
    """One metric as Prometheus sees it; the unit is the end of its name."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  # of a histogram, without infinity
    joined: Literal["sum", "max", "min"] = "sum"  # gauges of several processes
    is_nano: bool = False  # rows are integers in billionths of the unit

    @property
    def shape(self) -> str:
        """Rows of one shape can be added; another version of us may have another one."""
        return f"{self.kind}:{','.join(self.labels)}:{','.join(map(str, self.bounds))}"

    @property
    def width(self) -> int:
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


Figures = Iterable[tuple[Family, Rows]]


class Histogram:
    """Counts by bucket, and the sum. For one thread to write and any to read."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def row(self) -> Row:
        return (*self.counts, self.total)


class Peak:
    """The highest value of the last seconds, however often it is read. `value` may be raised by
    the hot path with one comparison."""

    __slots__ = ("_kept", "_rolled_at", "value")

    def __init__(self, seconds: int = 15) -> None:
        self.value = 0.0
        self._kept: deque[float] = deque(maxlen=seconds)
        self._rolled_at = time.monotonic()

    def read(self) -> float:
        now = clock.monotonic()
        if now - self._rolled_at >= 1.0:
            value, self.value = self.value, 0.0
            for _ in range(min(int(now - self._rolled_at), self._kept.maxlen or 1)):
                self._kept.append(value)
            self._rolled_at = now
        return max((self.value, *self._kept))


def single(value: Number) -> Rows:
    """The rows of a family without labels."""
    return {(): (value,)}


def numbers(counts: Mapping[Values, Number]) -> Rows:
    """Rows of a counter or a gauge. Safe while another thread adds to `counts`."""
    return {values: (count,) for values, count in list(counts.items())}
