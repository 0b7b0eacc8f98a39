"""The goals for speed and memory, and whether the measured medians meet them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.figures import ratio

Medians = Mapping[str, Mapping[str, float]]
"""Gateway name to figure name to the median over the rounds."""


@dataclass(frozen=True, slots=True)
class Goal:
    """`measure` gives the figure or None; it must be at least (or at most) `wanted`."""

    text: str
    wanted: float
    at_least: bool
    unit: str
    measure: Callable[[Medians], float | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    goal: Goal
    measured: float | None

    @property
    def met(self) -> bool | None:
        """None when the figure was not measured."""
        if self.measured is None:
            return None
        if self.goal.at_least:
            return self.measured >= self.goal.wanted
        return self.measured <= self.goal.wanted


EMBEDDED, PRODUCTION = "chatvault", "chatvault-production"


def _own(figure: str, mode: str = EMBEDDED) -> Callable[[Medians], float | None]:
    return lambda medians: medians.get(mode, {}).get(figure)


def _against(peer: str, figure: str, mode: str = EMBEDDED) -> Callable[[Medians], float | None]:
    return lambda medians: ratio(
        medians.get(mode, {}).get(figure), medians.get(peer, {}).get(figure)
    )


def _four_to_one(kind: str) -> Callable[[Medians], float | None]:
    def measure(medians: Medians) -> float | None:
        figures = medians.get(PRODUCTION, {})
        four, one = (figures.get(f"{name}_{kind}_whole_cpu_us") for name in ("four", "one"))
        return ratio(four, one)

    return measure


GOALS = (
    Goal("Requests/s at 32 connections against TensorZero", 1.5, True, "×",
         _against("tensorzero", "rps_32")),
    Goal("Requests/s at 32 connections against the LiteLLM proxy", 100, True, "×",
         _against("litellm", "rps_32")),
    Goal("p50 at 1 connection against TensorZero", 1.1, False, "×",
         _against("tensorzero", "p50_ms_1")),
    Goal("CPU per streamed chunk against TensorZero", 0.7, False, "×",
         _against("tensorzero", "chunk_cpu_us")),
    Goal("Concurrent 20 ms-paced streams without a stall", 800, True, "", _own("streams")),
    Goal("Resident memory of the gateway process", 150, False, " MB", _own("worker_rss_mb")),
    Goal("Ready after a start with existing state", 4, False, " s", _own("ready_s")),
    Goal("Requests/s with a JWT against a key, turn about", 0.9, True, "×",
         _own("jwt_to_key_rps")),
    Goal("Production: requests/s at 32 connections against TensorZero", 1.0, True, "×",
         _against("tensorzero", "rps_32", PRODUCTION)),
    Goal("Production: requests/s at 32 connections against the LiteLLM proxy", 70, True, "×",
         _against("litellm", "rps_32", PRODUCTION)),
    Goal("Production: CPU per request, four gateway processes against one, 32 connections", 1.15,
         False, "×", _four_to_one("full")),
    Goal("Production: the same at a rate that leaves both idle for a part", 1.15, False, "×",
         _four_to_one("rate")),
    Goal("Production: p99 added by a stopped Redis, first second", 25, False, " ms",
         _own("outage_added_ms_first", PRODUCTION)),
    Goal("Production: p99 added by a stopped Redis, afterwards", 5, False, " ms",
         _own("outage_added_ms_later", PRODUCTION)),
    Goal("Production: requests refused because Redis was stopped", 0, False, "",
         _own("outage_errors", PRODUCTION)),
)  # fmt: skip


def judge(medians: Medians) -> list[Verdict]:
    return [Verdict(goal, goal.measure(medians)) for goal in GOALS]
