"""Series of daily spending whose truth is known: weekdays, growth, noise, days without use."""

from __future__ import annotations

import numpy

USD = 10**9
WEEK = numpy.array([1.0, 1.1, 1.2, 1.1, 0.9, 0.3, 0.2])


def seasonal(seed: int, days: int, *, mean_usd: float = 50.0) -> list[int]:
    """In nano-USD, the first day a Monday."""
    random = numpy.random.default_rng(seed)
    week = WEEK * random.uniform(0.8, 1.2, 7)
    growth = numpy.exp(random.uniform(-0.004, 0.006) * numpy.arange(days))
    spread = random.uniform(0.1, 0.35)
    noise = numpy.exp(random.normal(0, spread, days) - spread**2 / 2)
    if seed % 4 == 0:
        noise *= random.random(days) > 0.08
    values = mean_usd * week[numpy.arange(days) % 7] * growth * noise
    return [int(value * USD) for value in values]
