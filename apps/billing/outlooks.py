"""What is expected of budgets, told by an app above that forecasts; without it nothing is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import NamedTuple


class Outlook(NamedTuple):
    """At the end of the window of now, in nano-USD. `runs_out_on` None: it lasts, more likely
    than not. `link` is the page that tells more."""

    expected_nano: int
    low_nano: int
    high_nano: int
    amount_nano: int
    runs_out_on: date | None
    earliest: date | None
    made_on: date
    link: str


Find = Callable[[Iterable[int]], Mapping[int, Outlook]]


class _Source:
    """One instance, below."""

    find: Find | None = None


_source = _Source()


def register(find: Find | None) -> None:
    """`find` tells outlooks by budget id, in a fixed number of queries."""
    _source.find = find


def outlooks_of(budget_ids: Iterable[int]) -> Mapping[int, Outlook]:
    """Those that are known."""
    ids = list(budget_ids)
    return _source.find(ids) if _source.find is not None and ids else {}
