"""What the page of one error shows."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.http import urlencode

from apps.usage import error_trend
from apps.usage.admin.request_detail import Fact, followed
from apps.usage.error_groups import sentence_of
from apps.usage.figures import count_text, instant_text
from apps.usage.models import ErrorGroup, RequestLog

Kind = ErrorGroup.Kind


def context_of(group: ErrorGroup, viewer: Any) -> dict[str, Any]:
    """Everything that `usage/error.html` shows, in a fixed number of queries."""
    hours = error_trend.hourly([group.pk])[group.pk]
    days = error_trend.daily(group.pk)
    return {
        "group": group,
        "meaning": sentence_of(group.code) if group.kind != Kind.FAULT else "",
        "figures": _figures(group),
        "facts": [followed(fact, viewer) for fact in _facts(group)],
        "hours": error_trend.chart(hours, width=14, height=80),
        "days": error_trend.chart(days, width=11, height=80),
        "example": _example(group),
        "requests_url": _requests_url(group),
        "choices": [
            (state, word)
            for state, word in (
                (ErrorGroup.State.ACKNOWLEDGED, "Acknowledge"),
                (ErrorGroup.State.RESOLVED, "Resolve"),
                (ErrorGroup.State.OPEN, "Open again"),
            )
            if state != group.state
        ],
    }


def deployment_of(group: ErrorGroup) -> str:
    if not group.deployment_id:
        return ""
    return group.deployment_name or f"deployment {group.deployment_id}"


def client_of(group: ErrorGroup) -> str:
    if group.client_id:
        return group.client_name or f"client {group.client_id}"
    return "(no known key)" if group.kind == Kind.REFUSAL else ""


def _figures(group: ErrorGroup) -> list[Fact]:
    return [
        Fact("How often", count_text(group.count)),
        Fact("First seen", instant_text(group.first_seen)),
        Fact("Last seen", instant_text(group.last_seen)),
        Fact("Came back", count_text(group.reopened)),
    ]


def _facts(group: ErrorGroup) -> list[Fact]:
    facts = [Fact("Kind", group.get_kind_display())]
    if name := deployment_of(group):
        facts.append(Fact("Deployment", name, _link("providers_deployment", group.deployment_id)))
    if group.client_id:
        facts.append(Fact("Client", client_of(group), _link("accounts_client", group.client_id)))
    elif name := client_of(group):
        facts.append(Fact("Client", name))
    if group.place:
        facts.append(Fact("Place", group.place))
    if group.last_status:
        facts.append(Fact("Last status", str(group.last_status)))
    if group.state_at is not None:
        by = f" by {group.state_by}" if group.state_by else ""
        facts.append(Fact("State since", f"{instant_text(group.state_at)}{by}"))
    return facts


def _example(group: ErrorGroup) -> Fact | None:
    """The latest request of its kind, with a link while its row is there."""
    if group.last_request_id is None:
        return None
    pk = (
        RequestLog.objects.filter(request_id=group.last_request_id)
        .order_by()
        .values_list("pk", flat=True)
        .first()
    )
    link = reverse("admin:usage_requestlog_change", args=[pk]) if pk is not None else ""
    return Fact("Request", str(group.last_request_id), link)


def _requests_url(group: ErrorGroup) -> str:
    """All requests or refusals of the group, as far as their page can tell them apart."""
    if group.kind == Kind.FAULT:
        return ""
    if group.kind == Kind.REFUSAL:
        query: dict[str, str | int] = {"client": group.client_id, "code": group.code}
        return f"{reverse('admin:usage_refusals')}?{urlencode(query)}"
    chosen: dict[str, str | int] = {"client": group.client_id, "deployment": group.deployment_id}
    if group.kind == Kind.REQUEST:
        chosen["outcome"] = "failed"
    told = urlencode({name: value for name, value in chosen.items() if value})
    return f"{reverse('admin:usage_requestlog_changelist')}?{told}"


def _link(page: str, pk: int) -> str:
    return reverse(f"admin:{page}_change", args=[pk])
