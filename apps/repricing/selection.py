"""Which requests a repricing is about, what the ledger has of them, and whether that changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import Count, Max, Q, QuerySet, Sum

from apps.billing.ledger import LATE_SETTLEMENT
from apps.billing.models import LedgerEntry
from apps.providers.models import Deployment
from apps.repricing.models import Repricing
from apps.usage.models import KeptSince, RequestLog

CHUNK: Final = 1000
_OURS: Final = Q(number__lte=LATE_SETTLEMENT) | Q(batch_id__startswith="repricing:")


class Booked(msgspec.Struct):
    """What one request was charged and cost by its prices, and in all.

    The first two leave out what was corrected for other reasons, such as goodwill or a rebate:
    that stays. The last two are what can be given back at most.
    """

    cost_nano: int = 0
    charged_nano: int = 0
    whole_cost_nano: int = 0
    whole_charged_nano: int = 0


def requests_of(repricing: Repricing) -> QuerySet[RequestLog]:
    """In no order."""
    rows = RequestLog.objects.filter(
        started_at__gte=repricing.starts_at, started_at__lt=repricing.ends_at
    ).order_by()
    for name in ("team_id", "client_id", "alias", "provider_name"):
        if value := getattr(repricing, name):
            rows = rows.filter(**{name: value})
    if repricing.model:
        places = Deployment.objects.filter(model=repricing.model)
        rows = rows.filter(deployment_id__in=places.values("pk"))
    return rows


def chunks_of(
    repricing: Repricing, rows: QuerySet[RequestLog], *, up_to: int
) -> Iterator[list[RequestLog]]:
    """The rows up to an id, a thousand at a time, by when they began: no transaction and no
    cursor stays open between two of them."""
    ordered = rows.filter(pk__lte=up_to).order_by("started_at", "pk")
    last: RequestLog | None = None
    while True:
        left = ordered
        if last is not None:
            after = Q(started_at__gt=last.started_at) | Q(
                started_at=last.started_at, pk__gt=last.pk
            )
            left = ordered.filter(after, started_at__gte=last.started_at)
        some = list(left[:CHUNK])
        if not some:
            return
        yield some
        last = some[-1]


def booked_of(ids: Iterable[UUID]) -> dict[UUID, Booked]:
    """What the ledger has of these requests."""
    entries = LedgerEntry.objects.filter(request_id__in=list(ids)).order_by()
    sums = entries.values("request_id", "account").annotate(
        ours=Sum("amount_nano", filter=_OURS, default=0), whole=Sum("amount_nano")
    )
    found: dict[UUID, Booked] = {}
    for row in sums:
        one = found.setdefault(row["request_id"], Booked())
        if row["account"] == LedgerEntry.Account.CLIENT:
            one.charged_nano, one.whole_charged_nano = -int(row["ours"]), -int(row["whole"])
        elif row["account"] == LedgerEntry.Account.PROVIDER:
            one.cost_nano, one.whole_cost_nano = int(row["ours"]), int(row["whole"])
    return found


def last_row_of(rows: QuerySet[RequestLog]) -> int:
    found: int | None = rows.aggregate(last=Max("pk"))["last"]
    return found or 0


def fingerprint(repricing: Repricing, versions: str) -> str:
    """Changes with the requests of the range, with adjustments of them, and with prices."""
    rows = requests_of(repricing).aggregate(
        Count("pk"), Max("pk"), Sum("cost_nano"), Sum("charged_nano"), Sum("output_tokens")
    )
    entries = LedgerEntry.objects.filter(
        kind=LedgerEntry.Kind.ADJUSTMENT,
        booked_at__gte=repricing.starts_at,
        booked_at__lt=repricing.ends_at,
    )
    for name in ("team_id", "client_id", "provider_name"):
        if value := getattr(repricing, name):
            entries = entries.filter(**{name: value})
    # other people's adjustments do not matter to what is priced; another repricing's do
    moved = entries.filter(_OURS).aggregate(Count("pk"), Max("pk"))
    near = Repricing.objects.overlapping(repricing.starts_at, repricing.ends_at)
    others = near.filter(approved_at__isnull=False).exclude(pk=repricing.pk)
    states = sorted(others.values_list("pk", "state"))  # their credit notes are dated elsewhere
    kept = KeptSince.of(KeptSince.Subject.REQUESTS)
    told: Any = (sorted(rows.items()), sorted(moved.items()), states, str(kept), versions)
    return hashlib.sha256(repr(told).encode()).hexdigest()
