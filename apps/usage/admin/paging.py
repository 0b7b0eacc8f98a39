"""Pages of the request log that are found by sums of days and hours: neither COUNT nor a long
OFFSET walks over the log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

from django.core.paginator import Page
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

from apps.accounts.admin.limited import asking
from apps.usage.admin import filters
from apps.usage.models import HourlyRollup, RequestLog
from apps.usage.reports.query import Dimension, Value
from apps.usage.reports.scopes import scope_of
from apps.usage.reports.seek import Asked, Counted
from chatvault.lib import clock

D = Dimension
Rows = QuerySet[RequestLog]
_NUMBERS: Final = {
    "provider": D.PROVIDER,
    "team": D.TEAM, "client": D.CLIENT, "key": D.KEY, "deployment": D.DEPLOYMENT
}  # fmt: skip
_KNOWN: Final = frozenset(
    {*_NUMBERS, "tag", "alias", "outcome", "status", "span", "p", "o", "q", "e"}
)
_LATEST: Final = timedelta(days=2)
_TIMES: Final = ("started_at_from_", "started_at_to_")


class SeekPaginator(InfinitePaginator):
    """Where `asked` is None, because a filter is not one of sums, rows are skipped one by one."""

    def __init__(self, rows: Rows, per_page: int, *, asked: Asked | None) -> None:
        super().__init__(rows, per_page)
        self._rows: Any = rows
        self._asked = asked

    @cached_property
    def _counted(self) -> Counted:
        assert self._asked is not None
        return Counted(self._asked)

    @cached_property
    def count(self) -> int:
        return self._counted.total if self._is_counted else int(super().count)

    @cached_property
    def _is_counted(self) -> bool:
        """Whether sums know of any such request. Else there is none, or no sum of it yet."""
        return self._asked is not None and self._counted.total > 0

    def page(self, number: Any) -> Page[Any]:
        rows = self._rows
        if self._asked is None:
            return super().page(number)
        if not self._is_counted:
            if HourlyRollup.objects.exists():  # else there are no sums to go by at all
                self.object_list = rows.filter(started_at__gte=clock.now() - _LATEST)
            return super().page(number)
        number = self.validate_number(number)
        place = self._counted.place(self.per_page * (number - 1), self.per_page)
        rows = rows.filter(started_at__gte=place.start, started_at__lt=place.end)
        return self._get_page(rows[place.skip : place.skip + self.per_page], number, self)


class LogList(ChangeList):
    """What fits onto one page is looked for where it is, too."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if self.result_count == InfinitePaginator.count.func(self.paginator):  # nobody knows it
            self.full_result_count = self.result_count
        if not self.multi_page:
            self.result_list = self.paginator.page(1).object_list


def asked_of(request: HttpRequest, rows: Rows) -> Asked | None:
    """What the filters of the page ask for, in the words of reports; None where they cannot say
    it, and where it needs no search."""
    given = request.GET
    others = {name for name in given if name not in _KNOWN and not name.startswith(_TIMES)}
    if others or given.get("q", "").strip():
        return None
    order = list(rows.query.order_by)
    if not order or order[0] not in ("-started_at", "started_at"):
        return None
    start, end = _span(rows)
    asked = dict(_filters(given))
    if not asked and given.get("p", "1") == "1":
        return None  # the first rows of an index
    return Asked(
        filters=asked,
        scope=scope_of(asking(request)),
        start=start,
        end=end,
        newest_first=order[0].startswith("-"),
    )


def _filters(given: Any) -> Iterable[tuple[Dimension, tuple[Value, ...]]]:
    for name, dimension in _NUMBERS.items():
        value = given.get(name, "")
        if value.isascii() and value.isdigit() and len(value) < 19:
            yield dimension, (int(value),)
    if alias := given.get("alias"):
        yield D.ALIAS, (alias,)
    if "=" in (tag := given.get("tag", "").strip()):
        yield D.TAG, (tag,)
    if outcome := given.get("outcome"):
        yield D.OUTCOME, filters.FAILED if outcome == "failed" else (outcome,)
    if found := filters.STATUSES.get(given.get("status", "")):
        yield D.STATUS, tuple(found[1])


def _span(rows: Rows) -> tuple[datetime | None, datetime | None]:
    """The tightest bounds that the filters of time have put onto the rows."""
    start, end = None, None
    for node in _leaves(rows.query.where):
        column = getattr(getattr(getattr(node, "lhs", None), "target", None), "name", "")
        if column != "started_at" or not isinstance(node.rhs, datetime):
            continue
        if node.lookup_name in ("gt", "gte"):
            start = max(start, node.rhs) if start else node.rhs
        elif node.lookup_name in ("lt", "lte"):
            end = min(end, node.rhs) if end else node.rhs
    return start, end


def _leaves(node: Any) -> Iterable[Any]:
    for child in getattr(node, "children", ()):
        if hasattr(child, "children"):
            yield from _leaves(child)
        else:
            yield child
