"""What the ledger says that a provider's models cost: by day and model, adjustments included.

An adjustment counts for the day of its request, whenever it was booked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import TruncDate

from apps.billing.models import LedgerEntry
from apps.invoicing.models import Bill
from apps.invoicing.months import beginning_of
from apps.providers.models import Deployment
from apps.usage.models import RequestLog

_AT_ONCE: Final = 500


class Cost(msgspec.Struct):
    nano: int = 0
    requests: int = 0


class Weighed(msgspec.Struct, frozen=True):
    """One request: what it costs now, and what it used."""

    request_id: UUID
    cost_nano: int
    tokens: int


def costs_of(bill: Bill) -> dict[tuple[date, str], Cost]:
    """By day (the provider's) and model, over the days of the bill."""
    zone = ZoneInfo(bill.time_zone)
    models = models_of(bill)
    found: dict[tuple[date, str], Cost] = defaultdict(Cost)
    rows = _requests(bill, bill.starts_on, bill.ends_on, zone)
    by_day = rows.annotate(day=TruncDate("started_at", tzinfo=zone)).values("day", "deployment_id")
    for row in by_day.annotate(cost=Sum("cost_nano"), count=Count("pk")):
        one = found[row["day"], models[int(row["deployment_id"] or 0)]]
        one.nano += int(row["cost"])
        one.requests += int(row["count"])
    for row in _adjusted(bill, rows, zone):
        if row["deployment"] in models:
            found[row["day"], models[row["deployment"]]].nano += int(row["amount"])
    return dict(found)


def models_of(bill: Bill) -> dict[int, str]:
    """The model of each deployment that served requests of the bill's days, also of one that is
    gone by now."""
    zone = ZoneInfo(bill.time_zone)
    rows = _requests(bill, bill.starts_on, bill.ends_on, zone)
    served = rows.values_list("deployment_id", "deployment_name").distinct()
    names = {pk: name for pk, name in served if pk is not None}
    known = dict(Deployment.objects.filter(pk__in=list(names)).values_list("pk", "model"))
    return {pk: known.get(pk) or name.partition("@")[0] for pk, name in names.items()}


def requests_of(
    bill: Bill, day: date, model: str, *, through_request: int, through_entry: int
) -> Iterator[Weighed]:
    """The requests behind one day and model, as they were when those ids were the last."""
    zone = ZoneInfo(bill.time_zone)
    of_model = [pk for pk, name in models_of(bill).items() if name == model]
    rows = _requests(bill, day, day, zone).filter(
        deployment_id__in=of_model, pk__lte=through_request
    )
    names = ("request_id", "cost_nano", "input_tokens", "output_tokens")
    waiting: list[tuple[Any, ...]] = []
    for row in rows.order_by("pk").values_list(*names).iterator(chunk_size=2_000):
        waiting.append(row)
        if len(waiting) == _AT_ONCE:
            yield from _weighed(waiting, through_entry)
            waiting = []
    yield from _weighed(waiting, through_entry)


def _weighed(rows: list[tuple[Any, ...]], through_entry: int) -> Iterator[Weighed]:
    if not rows:
        return
    adjusted = (
        LedgerEntry.objects.filter(
            request_id__in=[row[0] for row in rows],
            kind=LedgerEntry.Kind.ADJUSTMENT,
            account=LedgerEntry.Account.PROVIDER,
            pk__lte=through_entry,
        )
        .order_by()
        .values("request_id")
        .annotate(total=Sum("amount_nano"))
    )
    by_request = {row["request_id"]: int(row["total"]) for row in adjusted}
    for request_id, cost, input_tokens, output_tokens in rows:
        yield Weighed(
            request_id, max(cost + by_request.get(request_id, 0), 0), input_tokens + output_tokens
        )


def _requests(
    bill: Bill, first: date | None, last: date | None, zone: ZoneInfo
) -> QuerySet[RequestLog]:
    """Requests that a deployment of the bill's provider served on these days."""
    assert first is not None and last is not None  # a bill that was read has days
    names = {bill.provider_name}
    whose = Q(provider_name__in=names)
    if bill.provider is not None:
        names.add(bill.provider.name)
        whose = Q(provider_name__in=names) | Q(provider_id=bill.provider.pk)
    return RequestLog.objects.filter(
        whose,
        started_at__gte=beginning_of(first, zone),
        started_at__lt=beginning_of(last + timedelta(days=1), zone),
        deployment_id__isnull=False,
    ).order_by()


def _adjusted(bill: Bill, rows: QuerySet[RequestLog], zone: ZoneInfo) -> Any:
    assert bill.starts_on is not None
    request = rows.filter(request_id=OuterRef("request_id"))
    entries = LedgerEntry.objects.filter(
        kind=LedgerEntry.Kind.ADJUSTMENT,
        account=LedgerEntry.Account.PROVIDER,
        booked_at__gte=beginning_of(bill.starts_on, zone),
    )
    return (
        entries.annotate(
            deployment=Subquery(request.values("deployment_id")[:1]),
            started=Subquery(request.values("started_at")[:1]),
        )
        .filter(deployment__isnull=False)
        .order_by()
        .annotate(day=TruncDate(F("started"), tzinfo=zone))
        .values("day", "deployment")
        .annotate(amount=Sum("amount_nano"))
    )
