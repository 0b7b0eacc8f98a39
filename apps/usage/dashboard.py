"""What the home page of the admin shows to those who may see requests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from apps.accounts.admin.limited import asking
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.accounts.usable_models import aliases_of
from apps.billing.words import short_usd
from apps.configuration import job_health
from apps.usage import credential_trouble, refusal_report
from apps.usage.charts import charts_of
from apps.usage.figures import count_text, instant_text, milliseconds, percent
from apps.usage.journal_health import journal_health
from apps.usage.overview import BudgetBar, Overview, Totals, overview
from chatvault.lib import replica

_NOTHING: Final = "no requests yet"
_CALM: Final = "bg-primary-600"


@dataclass(frozen=True)
class Card:
    """A figure of today, with a line that puts it in relation."""

    title: str
    value: str
    note: str
    link: str = ""
    is_bad: bool = False


def with_overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the home page. Who may not see requests gets the list of pages only."""
    who = asking(request)
    if not who.may_somewhere(Capability.USAGE_READ):
        return context
    is_operator = who.may(Capability.OPERATIONS_READ)
    sees_providers = who.may(Capability.PROVIDERS_READ)
    found = replica.tolerant(_figures)(request)
    context |= {
        "title": "Overview",
        "overview": found,
        "cards": _cards(found),
        "charts": charts_of(found.hours),
        "clients": found.clients,
        "models": found.models,
        "budgets": [_bar(each) for each in found.budgets],
        "journal": journal_health(settings.CHATVAULT.journal_dir) if is_operator else None,
        "log_url": reverse("admin:usage_requestlog_changelist"),
        "refusals": _refusals(who),
        "job_problems": job_health.problems() if is_operator else [],
        "troubles": credential_trouble.troubles() if sees_providers else [],
    }
    if not found.has_traffic:
        context |= _first_call(request, who)
    return context


def _figures(request: HttpRequest) -> Overview:
    return overview(who=asking(request))


def _cards(found: Overview) -> list[Card]:
    today, before = found.today, found.before
    log = reverse("admin:usage_requestlog_changelist")
    return [
        Card("Requests", count_text(today.requests), _against(today, before), f"{log}?span=today"),
        Card(
            "Tokens",
            count_text(today.tokens) if today.requests else "–",
            f"{count_text(today.input_tokens)} in, {count_text(today.output_tokens)} out"
            if today.requests
            else _NOTHING,
        ),
        Card(
            "Charged",
            short_usd(today.charged_nano) if today.requests else "–",
            f"at a cost of {short_usd(today.cost_nano)}" if today.requests else _NOTHING,
        ),
        Card(
            "Errors",
            count_text(today.errors) if today.requests else "–",
            f"{percent(today.errors, today.requests)} of the requests"
            if today.requests
            else _NOTHING,
            f"{log}?span=today&outcome=failed",
            is_bad=today.errors > 0,
        ),
        Card(
            "Latency",
            milliseconds(found.latency_p50_ms),
            f"median; 95 % within {milliseconds(found.latency_p95_ms)}"
            if found.latency_p50_ms is not None
            else _NOTHING,
        ),
    ]


def _refusals(who: Principal) -> dict[str, Any]:
    """What was refused: since the start of this process's gateway, or lately by all of them."""
    report, is_stored = refusal_report.report(who)
    codes = report.by_code()
    return {
        "is_stored": is_stored,
        "since": instant_text(datetime.fromtimestamp(report.since_s, UTC)),
        "total": count_text(sum(count for _, count in codes)),
        "codes": [(code, count_text(count)) for code, count in codes],
    }


def _against(today: Totals, before: Totals) -> str:
    if not before.requests:
        return "none yesterday by this hour"
    return f"{count_text(before.requests)} yesterday by this hour"


def _bar(budget: BudgetBar) -> dict[str, Any]:
    use = budget.use
    spent = min(100 * use.spent_nano / use.amount_nano, 100.0)
    held = min(100 * (use.held_nano or 0) / use.amount_nano, 100.0 - spent)
    used = spent + held
    return {
        "name": budget.name,
        "period": budget.period,
        "spent": short_usd(use.spent_nano),
        "held": short_usd(use.held_nano) if use.held_nano else "",
        "left": short_usd(use.left_nano),
        "amount": short_usd(use.amount_nano),
        "percent": f"{100 * use.share:.0f}",
        "spent_width": f"{spent:.0f}",
        "held_width": f"{held:.0f}",
        "colour": "bg-red-600" if used >= 90 else "bg-orange-500" if used >= 75 else _CALM,
    }


def _first_call(request: HttpRequest, who: Principal) -> dict[str, Any]:
    alias = aliases_of(who).filter(is_active=True).values_list("name", flat=True).first()
    return {
        "base_url": request.build_absolute_uri("/v1"),
        "model": alias or "MODEL",
        "secret": "cv_…",
        "has_alias": alias is not None,
    }
