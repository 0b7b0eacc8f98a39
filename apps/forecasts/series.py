"""What a budget's scope spent day by day, in the budget's own time zone.

Sums are those of hours, and adjustments of the ledger by the hour of their request: what a report
says was charged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db.models import QuerySet, Sum, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import Exact

from apps.billing.models import Budget, LedgerEntry
from apps.forecasts.periods import kind_of
from apps.usage.models import HourlyRollup, TagHour

_A_DAY: Final = timedelta(days=1)


def daily(budget: Budget, first: date, last: date, zone: ZoneInfo) -> dict[date, int]:
    """Nano-USD by day, for the days in [first, last] on which anything was booked."""
    start, end = midnight(first, zone), midnight(last + _A_DAY, zone)
    found: dict[date, int] = defaultdict(int)
    for hour, nano in (*_hours(budget, start, end), *_adjustments(budget, start, end)):
        found[hour.astimezone(zone).date()] += nano
    return dict(found)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of the day there; where clocks skip it, the first that there is."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone)
    return local.astimezone(UTC)


def days_between(first: date, last: date) -> Iterable[date]:
    return (first + _A_DAY * number for number in range((last - first).days + 1))


def _hours(budget: Budget, start: datetime, end: datetime) -> list[tuple[datetime, int]]:
    rows: QuerySet[Any] = HourlyRollup.objects.all()
    kind = kind_of(budget)
    if kind == "tag":
        rows = TagHour.objects.filter(tag=_tag_of(budget))
    else:
        rows = rows.filter(**_narrowed(budget, kind))
    within = rows.filter(hour__gte=start, hour__lt=end).order_by()
    column = "cost_nano" if kind == "provider" else "charged_nano"
    sums = within.values("hour").annotate(nano=Sum(column))
    return [(row["hour"], int(row["nano"])) for row in sums]


def _adjustments(budget: Budget, start: datetime, end: datetime) -> list[tuple[datetime, int]]:
    """What a credit gives back is negative here."""
    kind = kind_of(budget)
    is_cost = kind == "provider"
    accounts = LedgerEntry.Account
    entries = LedgerEntry.objects.filter(
        account=accounts.PROVIDER if is_cost else accounts.CLIENT,
        kind=LedgerEntry.Kind.ADJUSTMENT,
        booked_at__gte=start,
        booked_at__lt=end,
    )
    if kind == "tag":
        key, _, value = _tag_of(budget).partition("=")
        entries = entries.filter(Exact(KeyTextTransform(key, "tags"), Value(value)))
    else:
        entries = entries.filter(**_narrowed(budget, kind))
    sign = 1 if is_cost else -1
    rows = entries.values_list("booked_at", "amount_nano")
    return [(at, sign * nano) for at, nano in rows.iterator()]


def _narrowed(budget: Budget, kind: str) -> dict[str, Any]:
    """Hourly sums and the ledger name models, and the rest by id."""
    if kind == "alias":
        return {"alias": str(budget.scope)}
    return {f"{kind}_id": getattr(budget, f"{kind}_id")}


def _tag_of(budget: Budget) -> str:
    return str(getattr(budget, "tag", ""))
