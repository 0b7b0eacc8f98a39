"""Filters of the trail. Each goes by an index and costs at most one small query."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.apps import apps
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from apps.audit import search
from apps.audit.models import AuditEvent
from chatvault.lib import clock

Rows = QuerySet[AuditEvent]
Choices = list[tuple[str, str]]
_MOST_CHOICES: Final = 500
_SPANS: Final = {
    "1h": ("The last hour", timedelta(hours=1)),
    "24h": ("The last 24 hours", timedelta(hours=24)),
    "7d": ("The last 7 days", timedelta(days=7)),
    "30d": ("The last 30 days", timedelta(days=30)),
    "365d": ("The last year", timedelta(days=365)),
}


class OpenFilter(DropdownFilter):
    def has_output(self) -> bool:
        """Links may name what is no choice any more."""
        return True


class TopicFilter(OpenFilter):
    title = "about"
    parameter_name = "topic"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, name.replace("_", " ").capitalize()) for name in search.topics()]

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        return rows.filter(topic=self.value()) if self.value() else rows


class KindFilter(OpenFilter):
    title = "who"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return list(search.KINDS)

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        return rows.filter(actor_kind=self.value()) if self.value() else rows


class TeamFilter(OpenFilter):
    title = "team"
    parameter_name = "team"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        teams = apps.get_model("accounts", "team")._default_manager
        named = teams.order_by("name").values_list("pk", "name")[:_MOST_CHOICES]
        return [(str(pk), name) for pk, name in named]

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        value = str(self.value() or "")
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            return rows
        return rows.filter(team_id=int(value))


class SpanFilter(OpenFilter):
    title = "time"
    parameter_name = "span"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Choices:
        return [(name, label) for name, (label, _) in _SPANS.items()]

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        found = _SPANS.get(str(self.value()))
        return rows if found is None else rows.filter(at__gte=clock.now() - found[1])
