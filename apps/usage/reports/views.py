"""Sums of days by a few dimensions only: what most reports ask for, in far fewer rows.

A day's sums by everything at once are thousands of rows where a company is busy. Reports of months
by team or by model would add up hundreds of thousands of them, over and over; a view of the day
holds the same sums by those dimensions alone, and reports take the smallest that knows all that
they ask for. Views are made of the day's own sums, with them, and go away with them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from apps.usage.models import LatencyView, SumView
from apps.usage.reports.query import Dimension
from apps.usage.reports.tables import ADJUSTED, COLUMNS, DAYS, SUMS, TAG_DAYS, Source

D = Dimension
FORM: Final = 3
"""Goes up with each change to the views: days that were summed up with another are made anew."""


def _of_sums(view: str, *dimensions: Dimension) -> Source:
    return Source(
        table=SumView._meta.db_table,
        time="start",
        dimensions={name: COLUMNS[name] for name in dimensions},
        sums={name: f"r.{name}" for name in (*SUMS, *ADJUSTED)},
        only=f"r.view = '{view}'",
        view=view,
    )


def _of_latencies(view: str, *dimensions: Dimension) -> Source:
    return Source(
        table=LatencyView._meta.db_table,
        time="start",
        dimensions={name: COLUMNS[name] for name in dimensions},
        sums={},
        only=f"r.view = '{view}'",
        view=view,
    )


SUMS_OF_DAYS: Final = (
    _of_sums("team", D.TEAM, D.ALIAS),
    _of_sums("model", D.ALIAS, D.DEPLOYMENT, D.PROVIDER),
    _of_sums("user", D.TEAM, D.USER),
    _of_sums("answer", D.TEAM, D.OUTCOME, D.STATUS, D.ERROR),
    _of_sums("key", D.TEAM, D.CLIENT, D.KEY),
    _of_sums("client", D.TEAM, D.CLIENT, D.ALIAS),
    _of_sums("tag", D.TEAM, D.TAG),
)
"""The smallest first."""
SUMS_OF_HOURS: Final = (
    _of_sums("team of hour", D.TEAM, D.ALIAS),
    _of_sums("model of hour", D.ALIAS, D.DEPLOYMENT, D.PROVIDER),
    _of_sums("key of hour", D.TEAM, D.CLIENT, D.KEY),
)
"""Of the hours of a day that is over: days of other time zones are made of them, too."""
LATENCIES_OF_DAYS: Final = (
    _of_latencies("team", D.TEAM),
    _of_latencies("model", D.ALIAS, D.DEPLOYMENT),
    _of_latencies("provider", D.PROVIDER),
    _of_latencies("user", D.TEAM, D.USER),
    _of_latencies("answer", D.TEAM, D.OUTCOME, D.STATUS, D.ERROR),
    _of_latencies("key", D.TEAM, D.CLIENT, D.KEY),
    _of_latencies("client", D.TEAM, D.CLIENT, D.ALIAS),
    _of_latencies("all", D.TEAM, D.CLIENT, D.ALIAS, D.DEPLOYMENT),
)
LATENCIES_OF_HOURS: Final = (
    _of_latencies("team of hour", D.TEAM),
    _of_latencies("model of hour", D.ALIAS, D.DEPLOYMENT),
    _of_latencies("provider of hour", D.PROVIDER),
)


def of_days(wanted: Collection[Dimension], names: Collection[str]) -> Source:
    """The smallest table that knows all of this; where none does, one that does not."""
    return smallest(SUMS_OF_DAYS, wanted, names) or (TAG_DAYS if D.TAG in wanted else DAYS)


def smallest(
    views: Iterable[Source], wanted: Collection[Dimension], names: Collection[str] = ()
) -> Source | None:
    """The first that knows all of this."""
    return next((each for each in views if each.knows(wanted, names)), None)
