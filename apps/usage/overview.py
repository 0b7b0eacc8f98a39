"""The figures of the home page, in a fixed number of small queries.

Sums come from the hourly rollups, which ingest keeps up to date; latency percentiles from the
newest requests of the day. Where nothing happened a figure is None, which is not 0.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from django.db.models import Case, F, FloatField, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Cast

from apps.accounts import permissions
from apps.accounts.models import Client
from apps.accounts.principals import OWNER, Principal
from apps.billing.budget_use import BudgetUse, uses_of
from apps.billing.limits.periods import period_bounds
from apps.billing.models import Budget, BudgetWindow
from apps.billing.words import short_usd
from apps.usage.figures import short_count
from apps.usage.models import HourlyRollup, RequestLog
from chatvault.lib import clock

HOURS: Final = 24
SAMPLE: Final = 2_000
TOP: Final = 5
_HOUR: Final = timedelta(hours=1)
_SHARED: Final = ("requests", "errors", "input_tokens", "output_tokens", "charged_nano")


@dataclass
class Totals:
    """Sums of a span of time; means are None where there is nothing to divide by."""

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0
    charged_nano: int = 0
    latency_ms_sum: int = 0
    first_token_ms_sum: int = 0
    first_token_count: int = 0

    def add(self, sums: dict[str, Any]) -> None:
        for name, value in sums.items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def latency_ms(self) -> float | None:
        return self.latency_ms_sum / self.requests if self.requests else None

    @property
    def first_token_ms(self) -> float | None:
        count = self.first_token_count
        return self.first_token_ms_sum / count if count else None


_SUMS: Final = tuple(each.name for each in fields(Totals))


@dataclass(frozen=True)
class Share:
    """One client's or model's part of today."""

    name: str
    requests: int
    errors: int
    tokens: int
    charged_nano: int
    pk: int | None = None

    @property
    def tokens_text(self) -> str:
        return short_count(self.tokens)

    @property
    def charged(self) -> str:
        return short_usd(self.charged_nano)


@dataclass(frozen=True)
class BudgetBar:
    """A budget and what of it is used in its present period."""

    pk: int
    name: str
    period: str
    use: BudgetUse


@dataclass
class Overview:
    """`hours` are the last 24, oldest first, the running one included; hours without requests
    have zeros and None. `today` is the day of UTC, `before` yesterday until the same hour."""

    at: datetime
    hours: list[tuple[datetime, Totals]]
    today: Totals
    before: Totals
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    clients: list[Share] = field(default_factory=list)
    models: list[Share] = field(default_factory=list)
    budgets: list[BudgetBar] = field(default_factory=list)
    has_traffic: bool = False


def overview(now: datetime | None = None, who: Principal = OWNER) -> Overview:
    """The home page's figures as of `now`, of what `who` may see, in at most eight queries."""
    now = now or clock.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    hour = now.replace(minute=0, second=0, microsecond=0)
    rollups = permissions.limit(HourlyRollup.objects.all(), who)
    requests = permissions.limit(RequestLog.objects.all(), who)
    by_hour = _by_hour(rollups.filter(hour__gte=midnight - timedelta(days=1)))
    first = hour - (HOURS - 1) * _HOUR
    today, before = Totals(), Totals()
    for at, totals in by_hour.items():
        if at >= midnight:
            today.add(vars(totals))
        elif at <= hour - timedelta(days=1):
            before.add(vars(totals))
    p50, p95 = _percentiles(requests.filter(started_at__gte=midnight))
    clients, models = _shares(rollups.filter(hour__gte=midnight))
    return Overview(
        at=now,
        hours=[
            (first + step * _HOUR, by_hour.get(first + step * _HOUR, Totals()))
            for step in range(HOURS)
        ],
        today=today,
        before=before,
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        clients=_top_clients(clients),
        models=[_share(totals, alias) for alias, totals in _top(models)],
        budgets=_tightest_budgets(now, who),
        has_traffic=requests.order_by().exists(),
    )


def _by_hour(rollups: QuerySet[HourlyRollup]) -> dict[datetime, Totals]:
    rows = rollups.values_list("hour").order_by("hour")
    return {hour: Totals(*sums) for hour, *sums in rows.annotate(*(Sum(name) for name in _SUMS))}


def _percentiles(requests: QuerySet[RequestLog]) -> tuple[int | None, int | None]:
    """Of the newest answered requests of today: exact for up to SAMPLE, else of these."""
    rows = requests.order_by("-started_at", "-id")
    newest = rows.values_list("latency_ms", "outcome")[:SAMPLE]
    ok = RequestLog.Outcome.OK
    sample = sorted(ms for ms, outcome in newest if ms is not None and outcome == ok)
    return percentile(sample, 50), percentile(sample, 95)


def percentile(ordered: list[int], percent: int) -> int | None:
    """Nearest rank; None of an empty list."""
    if not ordered:
        return None
    return ordered[max(-(-len(ordered) * percent // 100) - 1, 0)]


def _shares(rollups: QuerySet[HourlyRollup]) -> tuple[dict[int, Totals], dict[str, Totals]]:
    """Sums by client and by alias, from one scan of the day's rollups."""
    clients: dict[int, Totals] = defaultdict(Totals)
    models: dict[str, Totals] = defaultdict(Totals)
    groups = rollups.values_list("client_id", "alias").order_by()
    for client_id, alias, *sums in groups.annotate(*(Sum(name) for name in _SHARED)):
        told = dict(zip(_SHARED, sums, strict=True))
        clients[client_id].add(told)
        models[alias].add(told)
    return clients, models


_Name = TypeVar("_Name", int, str)


def _top(found: dict[_Name, Totals]) -> list[tuple[_Name, Totals]]:
    def rank(item: tuple[_Name, Totals]) -> tuple[int, int, str]:
        return -item[1].charged_nano, -item[1].requests, str(item[0])

    return sorted(found.items(), key=rank)[:TOP]


def _share(totals: Totals, name: str, pk: int | None = None) -> Share:
    return Share(
        name=name,
        requests=totals.requests,
        errors=totals.errors,
        tokens=totals.tokens,
        charged_nano=totals.charged_nano,
        pk=pk,
    )


def _top_clients(found: dict[int, Totals]) -> list[Share]:
    rows = _top(found)
    ids = [client_id for client_id, _ in rows] or [0]
    names = dict(Client.objects.filter(pk__in=ids).values_list("pk", "name"))
    return [
        _share(totals, names.get(client_id, f"client {client_id}"), client_id)
        for client_id, totals in rows
    ]


def _tightest_budgets(now: datetime, who: Principal) -> list[BudgetBar]:
    now_s = int(now.timestamp())
    present = Q()
    shapes = ("period", "length_days", "starts_on", "time_zone")
    for row in (
        permissions.limit(Budget.objects.filter(is_active=True), who)
        .order_by()
        .values(*shapes)
        .distinct()
    ):
        start_s, _ = period_bounds(Budget(**row).shape, now_s)
        start = datetime.fromtimestamp(start_s, now.tzinfo)
        same = {f"budget__{name}": value for name, value in row.items()}
        present |= Q(starts_at=start, **same)
    if not present:
        return []
    used = Case(
        When(
            budget__amount_nano__gt=0,
            then=Cast(F("settled_nano"), FloatField()) / F("budget__amount_nano"),
        ),
        default=Value(0.0),
        output_field=FloatField(),
    )
    windows = (
        permissions.limit(BudgetWindow.objects.all(), who)
        .filter(present, budget__is_active=True, budget__amount_nano__gt=0)
        .select_related("budget__team", "budget__client", "budget__key__client")
        .annotate(used=used)
        .order_by("-used", "pk")[:TOP]
    )
    budgets = [window.budget for window in windows]
    uses = uses_of(budgets, now)
    return [
        BudgetBar(budget.pk, str(budget.scope), budget.get_period_display(), uses[budget.pk])
        for budget in budgets
    ]
