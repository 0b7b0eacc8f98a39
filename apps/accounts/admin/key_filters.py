"""Ways to find keys: by what they are, by what needs somebody's attention, by label."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from apps.accounts import key_status
from apps.accounts.models import ApiKey
from chatvault.lib import clock


class StatusFilter(DropdownFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return key_status.CHOICES

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        if self.value() not in dict(key_status.CHOICES):
            return queryset
        return queryset.filter(key_status.of_status(str(self.value()), clock.now()))


class AttentionFilter(DropdownFilter):
    title = "needs attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return key_status.ATTENTION

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[ApiKey]:
        if self.value() not in dict(key_status.ATTENTION):
            return cast("QuerySet[ApiKey]", queryset)
        return key_status.needing(str(self.value()), queryset, clock.now())


class ScopeFilter(DropdownFilter):
    """Keys that may do more than call models."""

    title = "may"
    parameter_name = "may"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("inference", "Call models alone"), ("more", "More than call models"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        if self.value() == "inference":
            return queryset.filter(scopes=["inference"])
        return queryset.exclude(scopes=["inference"]) if self.value() == "more" else queryset
