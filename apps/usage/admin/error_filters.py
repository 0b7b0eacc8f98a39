"""Filters of the errors. Each costs one small query for its choices."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts.models import Client
from apps.providers.models import Deployment
from apps.usage.admin.filters import IdFilter, OpenFilter, seen
from apps.usage.models import ErrorGroup
from chatvault.lib import clock

Rows = QuerySet[ErrorGroup]
Choices = list[tuple[str, str]]
MOST_CHOICES: Final = 500
_SPANS: Final = {
    "1h": ("The last hour", timedelta(hours=1)),
    "24h": ("The last 24 hours", timedelta(hours=24)),
    "7d": ("The last 7 days", timedelta(days=7)),
}


class StateFilter(OpenFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [("pressing", "Open"), *ErrorGroup.State.choices[1:]]

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        if self.value() in ("pressing", ErrorGroup.State.OPEN):
            return rows.filter(state=ErrorGroup.State.OPEN)
        return rows.filter(state=self.value()) if self.value() else rows


class KindFilter(OpenFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return list(ErrorGroup.Kind.choices)

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        return rows.filter(kind=self.value()) if self.value() else rows


class CodeFilter(OpenFilter):
    title = "code"
    parameter_name = "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        groups = seen(ErrorGroup, request)
        codes = groups.order_by("code").values_list("code", flat=True).distinct()
        return [(code, code) for code in codes[:MOST_CHOICES]]

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        return rows.filter(code=self.value()) if self.value() else rows


class DeploymentFilter(IdFilter):
    title = "deployment"
    parameter_name = "deployment"
    column = "deployment_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        rows = seen(Deployment, request).values_list("pk", "name")[:MOST_CHOICES]
        return [(str(pk), name) for pk, name in rows]


class ClientFilter(IdFilter):
    title = "client"
    parameter_name = "client"
    column = "client_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        rows = seen(Client, request).values_list("pk", "name")[:MOST_CHOICES]
        return [(str(pk), name) for pk, name in rows]


class SpanFilter(OpenFilter):
    title = "last seen"
    parameter_name = "span"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, label) for name, (label, _) in _SPANS.items()]

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        found = _SPANS.get(str(self.value()))
        return rows if found is None else rows.filter(last_seen__gte=clock.now() - found[1])
