"""What the database says of the whole installation, for Prometheus.

Every node with the role `web` tells the same: dashboards take the maximum, not the sum.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from heapq import nlargest
from typing import Final

from django.contrib.sessions.models import Session
from django.db.models import Count, Min, Model, Q

from apps.accounts.models import ApiKey, Client, Team
from apps.billing.budget_use import BudgetUse, uses_of
from apps.billing.models import Budget
from apps.configuration import job_figures
from apps.configuration.models import Revision
from apps.providers import probe_figures
from apps.providers.models import Alias, Deployment, Provider
from apps.usage import storage_figures
from apps.usage.models import OpenIntent
from apps.usage.reading_figures import DatabaseReader
from chatvault.lib import clock
from chatvault.lib.metrics.families import Family, Figures, Row, Values, single

TIGHTEST: Final = 20
THRESHOLDS: Final = (0.8, 0.95, 1.0)

_BUDGET: Final = ("budget", "scope", "period")

REVISION: Final = Family(
    "chatvault_configuration_revision", "gauge", "The newest revision of the configuration."
)
REVISION_AT: Final = Family(
    "chatvault_configuration_revision_timestamp_seconds",
    "gauge",
    "When the newest revision was made, in seconds since 1970.",
)
OBJECTS: Final = Family(
    "chatvault_objects", "gauge", "Active objects of the configuration, by kind.", ("kind",)
)
SESSIONS: Final = Family(
    "chatvault_sessions", "gauge", "Sessions of the admin that have not ended."
)
INTENTS: Final = Family(
    "chatvault_unbooked_requests",
    "gauge",
    "Requests that were begun in a part of a journal that is in the database, and not settled yet.",
)
OLDEST_INTENT: Final = Family(
    "chatvault_unbooked_oldest_age_seconds", "gauge", "Age of the oldest of them; 0 without any."
)
BUDGET_USED: Final = Family(
    "chatvault_budget_used_ratio",
    "gauge",
    f"Spent and held as a part of the amount, of the {TIGHTEST} tightest active budgets. `budget` "
    "is the id that the admin shows.",
    _BUDGET,
)
BUDGET_AMOUNT: Final = Family(
    "chatvault_budget_amount_usd",
    "gauge",
    "The amount of these budgets, in US dollars.",
    _BUDGET,
    is_nano=True,
)
BUDGET_SPENT: Final = Family(
    "chatvault_budget_spent_usd",
    "gauge",
    "What these budgets have spent in their period, in US dollars.",
    _BUDGET,
    is_nano=True,
)
BUDGETS: Final = Family(
    "chatvault_budgets",
    "gauge",
    "Active budgets that are used at least to this ratio.",
    ("at_least",),
)

FAMILIES: Final = (
    REVISION, REVISION_AT, OBJECTS, SESSIONS, INTENTS, OLDEST_INTENT, BUDGET_USED, BUDGET_AMOUNT,
    BUDGET_SPENT, BUDGETS, *job_figures.FAMILIES, *probe_figures.FAMILIES,
    *storage_figures.FAMILIES, *DatabaseReader.FAMILIES,
)  # fmt: skip


_others: Final[list[Callable[[], Figures]]] = []


def register(read: Callable[[], Figures]) -> None:
    """Apps above have figures in the database, too; in a fixed number of queries."""
    if read not in _others:
        _others.append(read)


def source() -> Callable[[], Figures]:
    """Asked at a scrape; the database is asked at most every 15 s, and never waited for long."""
    return DatabaseReader(read_all)


def read_all() -> Figures:
    """Every figure, in a fixed number of queries."""
    yield from _configuration()
    yield SESSIONS, single(Session.objects.filter(expire_date__gt=clock.now()).count())
    yield from _intents()
    yield from _budgets(clock.now())
    yield from job_figures.read_jobs()
    yield from probe_figures.read_probes()
    yield from storage_figures.read_storage()
    for read in _others:
        yield from read()


def _configuration() -> Figures:
    newest = Revision.objects.values_list("pk", "created_at").first()
    if newest is not None:
        yield REVISION, single(newest[0])
        yield REVISION_AT, single(newest[1].timestamp())
    kinds: dict[str, type[Model]] = {
        "team": Team,
        "client": Client,
        "provider": Provider,
        "deployment": Deployment,
        "alias": Alias,
    }
    active: dict[Values, Row] = {
        (name,): (model._default_manager.filter(is_active=True).count(),)
        for name, model in kinds.items()
    }
    active[("key",)] = (ApiKey.objects.usable(clock.now()).count(),)
    yield OBJECTS, active


def _intents() -> Figures:
    told = OpenIntent.objects.aggregate(count=Count("pk"), oldest=Min("created_at"))
    age_s = (clock.now() - told["oldest"]).total_seconds() if told["oldest"] else 0.0
    yield INTENTS, single(told["count"])
    yield OLDEST_INTENT, single(max(age_s, 0.0))


def _budgets(now: datetime) -> Figures:
    budgets = list(Budget.objects.filter(_belongs_to_active(), is_active=True))
    uses = uses_of(budgets, now)
    at_least: dict[Values, Row] = {
        (f"{bound:g}",): (sum(use.share >= bound for use in uses.values()),) for bound in THRESHOLDS
    }
    yield BUDGETS, at_least
    tightest = nlargest(TIGHTEST, budgets, key=lambda budget: uses[budget.pk].share)
    told: list[tuple[Values, BudgetUse]] = [(_labels(b), uses[b.pk]) for b in tightest]
    yield BUDGET_USED, {values: (use.share,) for values, use in told}
    yield BUDGET_AMOUNT, {values: (use.amount_nano,) for values, use in told}
    yield BUDGET_SPENT, {values: (use.spent_nano,) for values, use in told}


def _belongs_to_active() -> Q:
    return Q(key=None) | Q(key__revoked_at=None)


def _labels(budget: Budget) -> Values:
    return str(budget.pk), budget.kind, budget.period
