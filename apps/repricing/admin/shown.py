"""What the page of one repricing shows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.urls import reverse

from apps.accounts.models import Client, Team
from apps.configuration.models import JobRun
from apps.repricing import services, tables
from apps.repricing.models import Repricing
from apps.usage.admin import job_progress
from apps.usage.admin.request_detail import Fact
from apps.usage.figures import count_text, instant_text
from chatvault.lib.money import format_usd, places_of

State = Repricing.State
_JOBS: Final = (services.CHECK_JOB, services.BOOK_JOB, services.UNDO_JOB)
_TITLES: Final = {"team": "By team", "client": "By client", "model": "By model"}
_MOST_ROWS: Final = 50
COUNTS: Final = {
    "looked_at": "requests looked at",
    "changed": "of them change",
    "became_priced": "had no price and get one",
    "estimated": "change by estimated token counts, since the provider told none",
    "no_price": "stay, because nothing prices their model",
    "interrupted": "stay, because they were interrupted: what they used may still be settled",
    "left_out": "stay, because they had no answer and cost nothing",
    "held_back": "change less than their price, because earlier corrections had given back more",
    "closed": "lie in closed books and are corrected by a credit note",
}


def context_of(row: Repricing) -> dict[str, Any]:
    run = latest_run(row)
    is_ready = row.checked_at is not None and row.state != State.CHECKING
    context = job_progress.context_of(run, progress_url(row))
    context["is_underway"] = context["is_underway"] and row.is_underway
    if not row.is_underway:
        context["run"] = None
    return context | {
        "facts": _facts(row),
        "figures": _figures(row) if is_ready else [],
        "counts": [
            (count_text(row.count(name)), text) for name, text in COUNTS.items() if row.count(name)
        ],
        "tables": [_table(row, name) for name in _TITLES] if is_ready else [],
        "examples": [_example(one) for one in row.examples] if is_ready else [],
        "steps": _steps(row, is_stuck=row.is_underway and not context["is_underway"]),
        "needs_second": services.needs_second_person() and row.state == State.CHECKED,
        "entries_url": reverse("admin:billing_ledgerentry_changelist") + f"?q=repricing:{row.pk}",
    }


def latest_run(row: Repricing) -> JobRun | None:
    runs = JobRun.objects.filter(name__in=_JOBS, arguments={"repricing_id": row.pk})
    return runs.order_by("-pk").first()


def progress_url(row: Repricing) -> str:
    return reverse("admin:repricing_repricing_progress", args=[row.pk])


def delta_text(nano: int, places: int | None = None) -> str:
    return f"{'+' if nano > 0 else ''}{format_usd(nano, places)}"


def _facts(row: Repricing) -> list[Fact]:
    limits = {
        "team": _name_of(Team, row.team_id), "client": _name_of(Client, row.client_id),
        "alias": row.alias, "model": row.model, "provider": row.provider_name,
    }  # fmt: skip
    chosen = ", ".join(f"{name} {value}" for name, value in limits.items() if value)
    by = {Repricing.Basis.BOOK: row.book, Repricing.Basis.TERMS: row.terms}.get(
        Repricing.Basis(row.basis)
    )
    prices = f"as of {instant_text(row.prices_at)}" if row.prices_at else "of when they began"
    facts = [
        Fact("Requests", f"{instant_text(row.starts_at)} until {instant_text(row.ends_at)}"),
        Fact("Only", chosen or "all of them"),
        Fact("Priced by", f"{row.get_basis_display()}{f': {by}' if by else ''}, prices {prices}"),
        Fact("Booked", "as a credit note, dated now" if row.as_credit_note else
             "when the requests began"),
        Fact("Author", row.author_name or "–"),
    ]  # fmt: skip
    for name, who, at in (
        ("Dry run ended", "", row.checked_at),
        ("Approved", row.approver_name, row.approved_at),
        ("Booked", "", row.booked_at),
        ("Undone", row.undoer_name, row.undone_at),
    ):
        if at is not None:
            facts.append(Fact(name, f"{instant_text(at)}{f' by {who}' if who else ''}"))
    return facts


def _name_of(model: type[Team] | type[Client], pk: int | None) -> str:
    """What is gone has only its number."""
    if not pk:
        return ""
    found = model._default_manager.filter(pk=pk).values_list("name", flat=True).first()
    return found or f"number {pk}"


def _figures(row: Repricing) -> list[Fact]:
    return [
        Fact("Requests that change", count_text(row.count("changed"))),
        Fact("Charged", delta_text(row.charged_delta_nano)),
        Fact("Cost", delta_text(row.cost_delta_nano)),
        Fact("Margin", delta_text(row.charged_delta_nano - row.cost_delta_nano)),
    ]


def _table(row: Repricing, dimension: str) -> dict[str, Any]:
    rows = tables.by(row, dimension)
    places = {
        name: places_of(each[name] for each in rows)
        for name in ("charged_before_nano", "charged_after_nano", "charged_delta_nano",
                     "cost_delta_nano")
    }  # fmt: skip
    largest = max((abs(each["charged_delta_nano"]) for each in rows), default=0)
    return {
        "title": _TITLES[dimension],
        "dimension": dimension,
        "left_out": max(len(rows) - _MOST_ROWS, 0),
        "rows": [
            {
                "name": each["name"],
                "requests": count_text(each["requests"]),
                "changed": count_text(each["changed"]),
                "before": format_usd(each["charged_before_nano"], places["charged_before_nano"]),
                "after": format_usd(each["charged_after_nano"], places["charged_after_nano"]),
                "delta": delta_text(each["charged_delta_nano"], places["charged_delta_nano"]),
                "cost_delta": delta_text(each["cost_delta_nano"], places["cost_delta_nano"]),
                "width": 100 * abs(each["charged_delta_nano"]) // largest if largest else 0,
                "is_less": each["charged_delta_nano"] < 0,
            }
            for each in rows[:_MOST_ROWS]
        ],
    }


def _example(one: dict[str, Any]) -> dict[str, Any]:
    return one | {
        "link": reverse("admin:usage_requestlog_change", args=[one["row"]]),
        "started_at": instant_text(datetime.fromisoformat(one["started_at"])),
        "charged_before": format_usd(one["charged_before_nano"]),
        "charged_after": format_usd(one["charged_after_nano"]),
        "delta": delta_text(one["charged_after_nano"] - one["charged_before_nano"]),
    }


def _steps(row: Repricing, *, is_stuck: bool) -> list[tuple[str, str, bool]]:
    """Buttons: name, word, whether it is the main one."""
    if is_stuck:
        steps = [("go-on", "Go on", True)]
        return [*steps, ("withdraw", "Withdraw", False)] if row.state == State.CHECKING else steps
    if row.state == State.CHECKED:
        first = [("approve", "Approve and book", True)] if row.count("changed") else []
        return [*first, ("check", "Run it again", False), ("withdraw", "Withdraw", False)]
    if row.state == State.BOOKED:
        return [("undo", "Undo: book the opposite", False)]
    return []
