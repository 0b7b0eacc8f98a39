"""Quotas as the page and the API of rate limits show them: use now, who is closest, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q, QuerySet

from apps.accounts import permissions
from apps.accounts.principals import Principal
from apps.billing import quota_history, quota_uses
from apps.billing.models import SCOPES, Quota
from apps.billing.quota_history import Sums
from apps.billing.quota_uses import QuotaUse
from chatvault.lib import clock

MOST: Final = 5_000  # quotas that are looked at at once
LONGEST: Final = quota_history.KEPT
_NAMES: Final = (
    "team__name", "client__name", "key__name", "user__username", "alias__name", "provider__name",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which quotas; what is empty does not narrow."""

    scope: str = ""
    unit: str = ""
    team_id: int | None = None
    observes: bool | None = None
    is_active: bool | None = True
    search: str = ""


@dataclass(frozen=True)
class Line:
    """One quota with its use now and what it refused since the beginning of the report."""

    use: QuotaUse
    sums: Sums


@dataclass(frozen=True)
class Hour:
    """What all of them refused in one hour, by scope."""

    at: datetime
    refused: Mapping[str, int]
    observed: Mapping[str, int]


def visible(who: Principal, wanted: Wanted) -> QuerySet[Quota]:
    """Quotas that one may see, with what is shown of them in a fixed number of queries."""
    rows = permissions.limit(Quota.objects.all(), who)
    if wanted.scope in SCOPES:
        rows = rows.filter(**{f"{wanted.scope}__isnull": False})
    if wanted.unit:
        rows = rows.filter(unit=wanted.unit)
    if wanted.team_id is not None:
        rows = rows.filter(
            Q(team=wanted.team_id)
            | Q(client__team=wanted.team_id)
            | Q(key__client__team=wanted.team_id)
        )
    if wanted.observes is not None:
        rows = rows.filter(observes=wanted.observes)
    if wanted.is_active is not None:
        rows = rows.filter(is_active=wanted.is_active)
    if wanted.search:
        found = Q()
        for name in _NAMES:
            found |= Q(**{f"{name}__icontains": wanted.search[:100]})
        rows = rows.filter(found)
    return (
        rows.select_related("team", "client", "key__client", "user", "alias", "provider")
        .prefetch_related("overrides")
        .order_by("pk")
    )


def lines(who: Principal, wanted: Wanted, since: datetime) -> list[Line]:
    """The quotas that will be reached first, first."""
    rows = list(visible(who, wanted)[:MOST])
    sums = quota_history.sums_since(since, [row.pk for row in rows])
    uses = quota_uses.closest(quota_uses.uses_of(rows))
    return [Line(use, sums.get(use.quota.pk, Sums())) for use in uses]


def hours(who: Principal, wanted: Wanted, since: datetime) -> list[Hour]:
    """What they refused, hour by hour, hours without refusals among them."""
    kinds = {row.pk: row.kind for row in visible(who, wanted)[:MOST]}
    now = clock.now().replace(minute=0, second=0, microsecond=0)
    at = since.replace(minute=0, second=0, microsecond=0)
    refused: dict[datetime, dict[str, int]] = {}
    observed: dict[datetime, dict[str, int]] = {}
    while at <= now:
        refused[at], observed[at] = {}, {}
        at += timedelta(hours=1)
    for (quota_id, hour), sums in quota_history.by_hour(since, list(kinds)).items():
        kind = kinds[quota_id]
        for table, count in ((refused, sums.refused), (observed, sums.observed)):
            if count and hour in table:
                table[hour][kind] = table[hour].get(kind, 0) + count
    return [Hour(at, refused[at], observed[at]) for at in refused]
