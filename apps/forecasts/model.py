"""What the days ahead will cost, as paths drawn from a fitted model. Pure; for the worker alone.

Amounts are floats here: a forecast is an estimate and is rounded before it is kept. No amount that
is booked comes this way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

WEEK: Final = 7
LEAST_DAYS: Final = 14  # two whole weeks; with fewer nothing can be said of weekdays
TREND_DAYS: Final = 42  # with fewer a trend is mostly chance
MOST_DAYS: Final = 126
PATHS: Final = 1_000
_SPIKE: Final = 6.0  # spreads from the middle of its weekday: a day beyond is no habit
_WIDER: Final = 1.15  # what is estimated is not known: fitted errors are smaller than those to come
_DRIFT: Final = 0.005  # by which use grows or shrinks a day, more often than not less
_YOUNG_SPREAD: Final = 0.35  # of the rate of a budget that is watched for days only


class Paths(NamedTuple):
    """`daily` has a row a path and a column a day ahead; nothing is negative."""

    daily: Any
    method: str  # seasonal | level | rate | none


def forecast(history: Sequence[float], days: int, seed: int = 0) -> Paths:
    """Paths of the next `days`, from the whole days so far, oldest first.

    Days before the first spending say nothing and are left out; a day without spending after it is
    a zero. A single day far from all others of its weekday counts as an ordinary high one.
    """
    import numpy

    seen = begun(history)[-MOST_DAYS:]
    random = numpy.random.default_rng(seed)
    if not len(seen) or not any(seen):
        return Paths(numpy.zeros((PATHS, days)), "none")
    values = numpy.asarray(seen, dtype=float)
    if len(values) < LEAST_DAYS:
        return Paths(_by_rate(values, days, random), "rate")
    scale = float(values.mean()) or 1.0
    roots = numpy.sqrt(_without_spikes(values) / scale)  # so that paths cannot be negative
    drawn, method = _by_smoothing(roots, days, random)
    return Paths(numpy.square(numpy.maximum(drawn, 0.0)) * scale, method)


def begun(history: Sequence[float]) -> list[float]:
    """From the first day with use on."""
    values = [max(float(one), 0.0) for one in history]
    first = next((at for at, one in enumerate(values) if one > 0), len(values))
    return values[first:]


def _by_rate(values: Any, days: int, random: Any) -> Any:
    """Days drawn from those seen, around a rate that is uncertain itself."""
    import numpy

    capped = numpy.minimum(values, _cap(values))
    count = len(capped)
    drawn = random.choice(capped, size=(PATHS, days))
    means = random.choice(capped, size=(PATHS, count)).mean(axis=1)
    middle = float(capped.mean()) or 1.0
    spread = _YOUNG_SPREAD * (LEAST_DAYS / count) ** 0.5
    factors = (means / middle) * numpy.exp(random.normal(0.0, spread, PATHS) - spread**2 / 2)
    return drawn * factors[:, None]


def _cap(values: Any) -> float:
    """Of few days: what is far beyond the middle ones."""
    import numpy

    middle = float(numpy.median(values))
    spread = float(numpy.median(numpy.abs(values - middle))) * 1.4826
    if middle <= 0:
        return float(values.max())
    return middle + _SPIKE * max(spread, middle / 4)


def _without_spikes(values: Any) -> Any:
    """Days far above all around them and of their weekday are cut to the edge of the ordinary."""
    import numpy

    calm = values.copy()
    for weekday in range(WEEK):
        same = values[weekday::WEEK]
        for at in range(len(same)):
            near = same[max(0, at - 4) : at + 5]
            middle = float(numpy.median(near))
            spread = float(numpy.median(numpy.abs(near - middle))) * 1.4826
            typical = float(numpy.median(values[max(0, at * WEEK - 14) : at * WEEK + 15]))
            edge = middle + _SPIKE * max(spread, middle / 4, typical / 4)
            calm[weekday + at * WEEK] = min(same[at], edge) if edge > 0 else same[at]
    return calm


def _by_smoothing(roots: Any, days: int, random: Any) -> tuple[Any, str]:
    """The best by its information criterion of: a level; with weekdays; with a damped trend."""
    import numpy

    best: Any = None
    method = "level"
    if float(roots.std()) < 1e-9:
        return numpy.full((PATHS, days), float(roots[-1])), "level"
    for seasonal, trend in _candidates(len(roots)):
        fitted = _fitted(roots, seasonal=seasonal, trend=trend)
        if fitted is not None and (best is None or fitted.aicc < best.aicc):
            best, method = fitted, "seasonal" if seasonal else "level"
    if best is None:
        return numpy.sqrt(_by_rate(numpy.square(roots), days, random)), "rate"
    middle = numpy.asarray(best.forecast(days))
    drawn = best.simulate(days, repetitions=PATHS, random_errors="bootstrap", rng=_legacy(random))
    drawn = numpy.asarray(drawn).reshape(days, PATHS).T
    paths = middle[None, :] + (drawn - middle[None, :]) * _WIDER
    return _less_certain(paths, best, random), method


def _less_certain(paths: Any, fitted: Any, random: Any) -> Any:
    """Simulated paths begin all at one level and know its future: neither is known so well."""
    import numpy

    count, days = len(fitted.resid), paths.shape[1]
    gain = float(fitted.params["smoothing_level"])
    spread = float(numpy.std(fitted.resid)) * (gain / (2 - gain) + WEEK / count) ** 0.5
    levels = random.normal(0.0, spread, PATHS)[:, None]
    growth = random.normal(0.0, _DRIFT, PATHS)[:, None] * numpy.arange(1, days + 1)
    return (paths + levels) * numpy.exp(growth / 2)  # of roots


def _legacy(random: Any) -> Any:
    """As statsmodels takes it."""
    import numpy

    return numpy.random.RandomState(int(random.integers(2**31)))


def _candidates(count: int) -> list[tuple[bool, bool]]:
    found = [(False, False), (True, False)]
    return [*found, (True, True)] if count >= TREND_DAYS else found


def _fitted(roots: Any, *, seasonal: bool, trend: bool) -> Any:
    """None where it cannot be fitted."""
    import warnings

    import numpy
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = ExponentialSmoothing(
                roots,
                trend="add" if trend else None,
                damped_trend=trend,
                seasonal="add" if seasonal else None,
                seasonal_periods=WEEK if seasonal else None,
                initialization_method="heuristic" if len(roots) >= 4 * WEEK else "estimated",
            )
            fitted = model.fit(optimized=True)
        except (ValueError, numpy.linalg.LinAlgError):
            return None
    return fitted if numpy.isfinite(fitted.aicc) else None
