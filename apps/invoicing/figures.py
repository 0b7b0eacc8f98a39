"""What a statement is made of: what a team used and was charged in a month, what was corrected
in it, and which corrections came for months that have a document already.

An entry of the ledger is in one document of its series exactly: in the statement of its month when
it was booked by then, else in the next credit note. The series of a team and those of its clients
are apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce, NullIf

from apps.accounts.models import Client
from apps.billing.models import LedgerEntry
from apps.invoicing.models import CreditedEntry, Statement
from apps.invoicing.months import Month
from apps.usage.models import HourlyRollup, RequestLog

_HOUR: Final = timedelta(hours=1)
_SUMS: Final = ("requests", "input_tokens", "output_tokens", "charged_nano", "cost_nano")
_CLIENT: Final = LedgerEntry.Account.CLIENT
_PROVIDER: Final = LedgerEntry.Account.PROVIDER
Key = tuple[int, str]


class Sums(msgspec.Struct):
    """Of one client and model."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    charged_nano: int = 0
    adjusted_nano: int = 0
    credited_nano: int = 0
    cost_nano: int = 0

    @property
    def is_empty(self) -> bool:
        return not any(msgspec.structs.astuple(self))


class Series(msgspec.Struct, frozen=True):
    """Whose documents follow each other: those of a team, or of one client of it."""

    team_id: int
    client_id: int | None = None

    def of(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        found = rows.filter(team_id=self.team_id)
        return found if self.client_id is None else found.filter(client_id=self.client_id)

    def documents(self) -> QuerySet[Statement]:
        return Statement.objects.filter(team_id=self.team_id, client_id=self.client_id)

    def last_statement(self) -> Statement | None:
        statements = self.documents().filter(kind=Statement.Kind.STATEMENT)
        return statements.order_by("-starts_at").first()

    def first_instant(self) -> datetime | None:
        """From when on the series has documents."""
        return self.documents().order_by("starts_at").values_list("starts_at", flat=True).first()


class Correction(msgspec.Struct, frozen=True):
    """One entry that corrects what has a document already."""

    entry_id: int
    account: str
    key: Key
    amount_nano: int


def used(series: Series, month: Month) -> dict[Key, Sums]:
    """By client and model, from the hourly sums; where the month begins or ends within an hour,
    from that hour's requests."""
    found: dict[Key, Sums] = defaultdict(Sums)
    first = _hour_after(month.starts_at)
    last = month.ends_at.replace(minute=0, second=0, microsecond=0)
    whole = series.of(HourlyRollup.objects.filter(hour__gte=first, hour__lt=last))
    totals = {f"sum_{name}": Sum(name) for name in _SUMS}
    _add(found, whole.order_by().values("client_id", "alias").annotate(**totals))
    edges = Q(started_at__gte=month.starts_at, started_at__lt=first)
    edges |= Q(started_at__gte=last, started_at__lt=month.ends_at)
    if first != month.starts_at or last != month.ends_at:
        rows = series.of(RequestLog.objects.filter(edges)).order_by()
        totals["sum_requests"] = Count("pk")  # type: ignore[assignment]
        _add(found, rows.values("client_id", "alias").annotate(**totals))
    return dict(found)


def charged_by_ledger(series: Series, month: Month, through: int) -> int:
    """The charges of the month as the ledger has them: the sums have to agree."""
    rows = series.of(_entries(month.starts_at, month.ends_at, through))
    rows = rows.filter(account=_CLIENT, kind=LedgerEntry.Kind.CHARGE)
    return -int(rows.aggregate(total=Sum("amount_nano"))["total"] or 0)


def adjusted(series: Series, month: Month, through: int, found: dict[Key, Sums]) -> None:
    """Add what was corrected of the month's own requests by then, and of their cost."""
    rows = series.of(_entries(month.starts_at, month.ends_at, through))
    rows = _with_charge_time(rows.filter(kind=LedgerEntry.Kind.ADJUSTMENT))
    own = rows.filter(Q(charge_at=None) | Q(charge_at__gte=month.starts_at)).order_by()
    groups = own.values("client_id", "model", "account").annotate(total=Sum("amount_nano"))
    for group in groups:
        one = found.setdefault((group["client_id"], group["model"] or ""), Sums())
        if group["account"] == _CLIENT:
            one.adjusted_nano -= int(group["total"])
        elif group["account"] == _PROVIDER:
            one.cost_nano += int(group["total"])


def corrections(
    series: Series, open_from: datetime, open_to: datetime | None, through: int
) -> list[Correction]:
    """Entries for times before `open_from` that no document has: booked there late, or booked
    since then (before `open_to`) for a request of that time."""
    last = series.last_statement()
    since = series.first_instant()
    dated = Q(kind=LedgerEntry.Kind.ADJUSTMENT, booked_at__gte=open_from, charge_at__lt=open_from)
    if open_to is not None:
        dated &= Q(booked_at__lt=open_to)
    wanted = dated
    if last is not None and since is not None:
        wanted |= Q(booked_at__gte=since, booked_at__lt=open_from, pk__gt=last.through_entry)
    rows = series.of(
        LedgerEntry.objects.filter(
            pk__lte=through,
            account__in=[_CLIENT, _PROVIDER],
            booked_at__gte=min(since or open_from, open_from),
        )
    )
    known = CreditedEntry.objects.filter(
        entry_id=OuterRef("pk"), is_of_client=series.client_id is not None
    )
    fresh = _with_charge_time(rows).filter(wanted).exclude(Exists(known))
    values = fresh.order_by("pk").values_list("pk", "account", "client_id", "model", "amount_nano")
    return [
        Correction(pk, account, (client_id, model or ""), amount)
        for pk, account, client_id, model, amount in values
        if amount
    ]


def credited(rows: Iterable[Correction]) -> dict[Key, Sums]:
    found: dict[Key, Sums] = defaultdict(Sums)
    for row in rows:
        if row.account == _CLIENT:
            found[row.key].credited_nano -= row.amount_nano
        else:
            found[row.key].cost_nano += row.amount_nano
    return dict(found)


def names_of(client_ids: Iterable[int]) -> dict[int, str]:
    """Of clients that are gone, the name that their requests remember."""
    wanted = set(client_ids)
    found = dict(Client.objects.filter(pk__in=wanted).values_list("pk", "name"))
    for client_id in wanted - found.keys():
        rows = RequestLog.objects.filter(client_id=client_id).order_by("-started_at")
        found[client_id] = rows.values_list("client_name", flat=True).first() or (
            f"client {client_id}"
        )
    return found


def _entries(first: datetime, last: datetime, through: int) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(booked_at__gte=first, booked_at__lt=last, pk__lte=through)


def _with_charge_time(rows: QuerySet[Any]) -> QuerySet[Any]:
    """With when the request was charged, and the model that it asked for: entries of long ago do
    not say it themselves."""
    charge = LedgerEntry.objects.filter(
        request_id=OuterRef("request_id"), number=0, account=_CLIENT
    )
    request = RequestLog.objects.filter(request_id=OuterRef("request_id"))
    return rows.annotate(
        charge_at=Subquery(charge.values("booked_at")[:1]),
        model=Coalesce(NullIf(F("alias"), Value("")), Subquery(request.values("alias")[:1])),
    )


def _add(found: dict[Key, Sums], groups: Iterable[dict[str, Any]]) -> None:
    for group in groups:
        one = found[group["client_id"], group["alias"]]
        for name in _SUMS:
            setattr(one, name, getattr(one, name) + int(group[f"sum_{name}"] or 0))


def _hour_after(at: datetime) -> datetime:
    """The first whole hour that is not before."""
    whole = at.replace(minute=0, second=0, microsecond=0)
    return whole if whole == at else whole + _HOUR
