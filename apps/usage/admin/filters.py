"""Filters of the request log. Each costs one small query for its choices; team, client, key and
time go by an index."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter, TextFilter

from apps.accounts.admin.limited import asking
from apps.accounts.models import ApiKey, Client, Team, User
from apps.accounts.permissions import limit
from apps.accounts.usable_models import aliases_of
from apps.providers.models import Deployment
from apps.usage.models import RequestLog
from apps.usage.models.request import RequestLogQuerySet
from chatvault.lib import clock

Rows = RequestLogQuerySet
Choices = list[tuple[str, str]]
MOST_CHOICES: Final = 500

_SPANS: Final = {
    "1h": ("The last hour", timedelta(hours=1)),
    "24h": ("The last 24 hours", timedelta(hours=24)),
    "7d": ("The last 7 days", timedelta(days=7)),
    "30d": ("The last 30 days", timedelta(days=30)),
}
FAILED: Final = (RequestLog.Outcome.ERROR, RequestLog.Outcome.INTERRUPTED)
STATUSES: Final = {
    "2xx": ("2xx answered", range(200, 300)),
    "4xx": ("4xx refused", range(400, 500)),
    "402": ("402 budget", range(402, 403)),
    "429": ("429 rate limited", range(429, 430)),
    "5xx": ("5xx failed", range(500, 600)),
}


def _named(rows: Iterable[tuple[int, str]]) -> Choices:
    return [(str(pk), name) for pk, name in rows]


def seen(model: type[Any], request: HttpRequest) -> QuerySet[Any]:
    """The rows that may be offered to whoever looks."""
    return limit(model._default_manager.all(), asking(request))


class OpenFilter(DropdownFilter):
    def has_output(self) -> bool:
        """Links may name what is gone and no choice any more."""
        return True


class IdFilter(OpenFilter):
    column = ""

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        value = str(self.value() or "")
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            return rows
        return rows.filter(**{self.column: int(value)})


class TeamFilter(IdFilter):
    title = "team"
    parameter_name = "team"
    column = "team_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return _named(seen(Team, request).values_list("pk", "name")[:MOST_CHOICES])


class ClientFilter(IdFilter):
    title = "client"
    parameter_name = "client"
    column = "client_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return _named(seen(Client, request).values_list("pk", "name")[:MOST_CHOICES])


class KeyFilter(IdFilter):
    """Keys of the chosen client, or of all."""

    title = "key"
    parameter_name = "key"
    column = "key_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        keys = limit(ApiKey.objects.select_related("client"), asking(request))
        client = request.GET.get(ClientFilter.parameter_name, "")
        if client.isascii() and client.isdigit() and len(client) < 19:
            keys = keys.filter(client_id=int(client))
        return [(str(key.pk), str(key)) for key in keys[:MOST_CHOICES]]


class DeploymentFilter(IdFilter):
    title = "deployment"
    parameter_name = "deployment"
    column = "deployment_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return _named((pk, name) for pk, name, _, _ in _deployments(request))


class ProviderFilter(IdFilter):
    """Those that have deployments."""

    title = "provider"
    parameter_name = "provider"
    column = "provider_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        providers = {pk: name for _, _, pk, name in _deployments(request)}
        return _named(sorted(providers.items(), key=lambda each: each[1]))


def _deployments(request: HttpRequest) -> list[tuple[int, str, int, str]]:
    """With their providers; asked for once, for two filters."""
    found: list[tuple[int, str, int, str]] | None = getattr(request, "offered_deployments", None)
    if found is None:
        columns = ("pk", "name", "provider_id", "provider__name")
        found = list(seen(Deployment, request).values_list(*columns)[:MOST_CHOICES])
        request.offered_deployments = found  # type: ignore[attr-defined]
    return found


class UserFilter(TextFilter):
    """The person whose token called."""

    title = "user name"
    parameter_name = "user"

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        name = str(self.value() or "").strip()
        if not name:
            return rows
        return rows.filter(user_id__in=User.objects.filter(username=name).values("pk"))


class TagFilter(TextFilter):
    title = "tag, such as project=atlas"
    parameter_name = "tag"

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        key, equals, value = str(self.value() or "").strip().partition("=")
        if not key:
            return rows
        return rows.tagged(key, value) if equals else rows.none()


class AliasFilter(OpenFilter):
    title = "alias"
    parameter_name = "alias"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        names = aliases_of(asking(request)).values_list("name", flat=True)
        return [(name, name) for name in names[:MOST_CHOICES]]

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        return rows.filter(alias=self.value()) if self.value() else rows


class OutcomeFilter(OpenFilter):
    title = "outcome"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("failed", "Failed or interrupted"), *RequestLog.Outcome.choices]

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        if self.value() == "failed":
            return rows.filter(outcome__in=FAILED)
        return rows.filter(outcome=self.value()) if self.value() else rows


class StatusFilter(OpenFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, label) for name, (label, _) in STATUSES.items()]

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        found = STATUSES.get(str(self.value()))
        if found is None:
            return rows
        return rows.filter(http_status__gte=found[1].start, http_status__lt=found[1].stop)


class SpanFilter(OpenFilter):
    title = "time"
    parameter_name = "span"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("today", "Today (UTC)"), *((name, label) for name, (label, _) in _SPANS.items())]

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        now = clock.now()
        if self.value() == "today":
            return rows.filter(
                started_at__gte=now.replace(hour=0, minute=0, second=0, microsecond=0)
            )
        found = _SPANS.get(str(self.value()))
        return rows if found is None else rows.filter(started_at__gte=now - found[1])
