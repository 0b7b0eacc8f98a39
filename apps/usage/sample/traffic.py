"""Requests of one day as columns: when they come, how large they are, what they cost, how they
end.

Arrivals follow the hours of a working day and the days of a week. Sizes are drawn from a trace
where one is given; else from log-normal distributions like those of public traces of chats.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from apps.usage.sample.world import World

_HOURS: Final = (
    *(2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 19, 18, 14, 17, 19, 18, 16, 13, 10, 8, 6, 5, 4, 3),
)  # share of a day by UTC hour
_WEEKDAYS: Final = (1.0, 1.1, 1.12, 1.08, 0.95, 0.35, 0.3)
_TAGS: Final = tuple(
    f'{{"env": "{env}", "project": "{project}"}}'
    for project in ("atlas", "beacon", "comet", "delta")
    for env in ("prod", "staging")
)
_MARGIN_OF_TEXT: Final = 60  # milliseconds that a network and a queue take
_ENDINGS: Final = (  # outcome, status, code, share
    ("ok", 200, "", 0.962),
    ("cancelled", 499, "client_closed", 0.012),
    ("error", 429, "upstream_rate_limited", 0.012),
    ("error", 502, "upstream_error", 0.006),
    ("error", 400, "upstream_rejected", 0.005),
    ("error", 504, "upstream_timeout", 0.002),
    ("interrupted", 0, "interrupted", 0.001),
)


@dataclass(frozen=True)
class Trace:
    """Sizes of real requests, drawn from in pairs, and how close they follow each other."""

    input_tokens: Any
    output_tokens: Any
    into_hour_ms: Any

    @classmethod
    def read(cls, path: Path) -> Trace:
        """A CSV with TIMESTAMP, ContextTokens, GeneratedTokens. Raises ValueError, OSError."""
        import numpy as np

        sizes, times = [], []
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            wanted = {"TIMESTAMP", "ContextTokens", "GeneratedTokens"}
            if not wanted <= set(reader.fieldnames or ()):
                raise ValueError(f"{path} has no columns {', '.join(sorted(wanted))}.")
            for row in reader:
                at = datetime.fromisoformat(row["TIMESTAMP"][:23])
                sizes.append((int(row["ContextTokens"]), int(row["GeneratedTokens"])))
                times.append((at.minute * 60 + at.second) * 1000 + at.microsecond // 1000)
        if not sizes:
            raise ValueError(f"{path} has no requests.")
        columns = np.array(sizes, dtype=np.int64)
        return cls(columns[:, 0], columns[:, 1], np.array(times, dtype=np.int64))


def share_of(day: datetime) -> float:
    return _WEEKDAYS[day.weekday()]


def columns_of(world: World, day: datetime, count: int, rng: Any, trace: Trace | None) -> Any:
    """The requests of a day in order of time: a dictionary of arrays, all of one length."""
    import numpy as np

    weights = np.array(_HOURS, dtype=float)
    hours = rng.choice(24, size=count, p=weights / weights.sum())
    into = rng.integers(0, 3_600_000, size=count)
    if trace is not None:
        at = rng.integers(0, len(trace.into_hour_ms), size=count)
        into = (trace.into_hour_ms[at] + rng.integers(0, 1_000, size=count)) % 3_600_000
    at_ms = np.sort(int(day.timestamp() * 1000) + hours * 3_600_000 + into)
    tokens_in, tokens_out = _sizes(count, rng, trace)
    found = {"at_ms": at_ms, **_choices(world, count, rng)}
    return found | _figures(world, found, tokens_in, tokens_out, rng)


def _sizes(count: int, rng: Any, trace: Trace | None) -> tuple[Any, Any]:
    import numpy as np

    if trace is not None:
        drawn = rng.integers(0, len(trace.input_tokens), size=count)
        return trace.input_tokens[drawn], np.maximum(trace.output_tokens[drawn], 1)
    tokens_in = np.exp(rng.normal(6.6, 1.1, size=count)).astype(np.int64) + 8
    tokens_out = np.exp(rng.normal(4.9, 0.9, size=count)).astype(np.int64) + 1
    return np.minimum(tokens_in, 128_000), np.minimum(tokens_out, 8_000)


def _choices(world: World, count: int, rng: Any) -> dict[str, Any]:
    """Who called which model, served by what, and how it ended. A caller keeps to few models."""
    import numpy as np

    callers, models = len(world.callers), len(world.models)
    popularity = 1 / np.arange(1, callers + 1) ** 0.8
    habits = np.random.default_rng(7)  # the same on every day
    order = habits.permutation(callers)
    caller = order[rng.choice(callers, size=count, p=popularity / popularity.sum())]
    shares = np.array([model.share for model in world.models])
    used = np.array(
        [
            habits.choice(models, size=3, replace=False, p=shares / shares.sum())
            for _ in range(callers)
        ]
    )
    model = used[caller, rng.choice(3, size=count, p=(0.7, 0.2, 0.1))]
    return {
        "caller": caller,
        "model": model,
        "place": rng.random(count),
        "ending": rng.choice(len(_ENDINGS), size=count, p=[ending[3] for ending in _ENDINGS]),
        "tags": np.where(rng.random(count) < 0.6, (caller + (rng.random(count) < 0.3)) % 8, -1),
        "stream": rng.random(count) < 0.6,
        "falls_back": rng.random(count) < 0.015,
        "random": rng.integers(0, 2**62, size=(count, 2)),
    }


def _figures(world: World, found: dict[str, Any], tokens_in: Any, tokens_out: Any, rng: Any) -> Any:
    """Tokens, money by the rules of billing, and times."""
    import numpy as np

    count = len(tokens_in)
    models, callers = world.models, world.callers
    answered = np.array([ending[0] != "error" for ending in _ENDINGS])[found["ending"]]
    tokens_in = np.where(answered, tokens_in, 0)
    tokens_out = np.where(answered, tokens_out, 0)
    reads_cache = (rng.random(count) < 0.25) & (tokens_in > 1024)
    cached = np.where(reads_cache, tokens_in // 2, 0)
    reasons = np.array([model.reasons for model in models])[found["model"]]
    reasoning = np.where(reasons, tokens_out * 2 // 3, 0)

    def rate(name: str) -> Any:
        return np.array([getattr(model, name) for model in models], dtype=np.int64)[found["model"]]

    exact = (tokens_in - cached) * rate("input_nano") + cached * rate("cached_nano")
    exact += tokens_out * rate("output_nano")
    percent = np.array([caller.markup_percent for caller in callers])[found["caller"]]
    speed = rate("tokens_a_second") * rng.lognormal(0, 0.25, size=count)
    first = (_MARGIN_OF_TEXT + rng.lognormal(5.3, 0.5, size=count) + tokens_in / 40).astype(
        np.int64
    )
    writing = (tokens_out / speed * 1000).astype(np.int64)
    return {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "cached_input_tokens": cached,
        "reasoning_tokens": reasoning,
        "cost_nano": (exact + 500_000) // 1_000_000,
        "charged_nano": (exact * (100 + percent) + 50_000_000) // 100_000_000,
        "first_ms": first,
        "latency_ms": first + writing,
    }


def ending(number: int) -> tuple[str, int, str]:
    return _ENDINGS[number][:3]


def tags(number: int) -> str | None:
    return None if number < 0 else _TAGS[number]
