"""Switching rows on and off from a list."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.configuration.admin import VersionedAdmin


class Activation(VersionedAdmin):
    """Actions for models with `is_active`; name them in `actions`."""

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = queryset.update(is_active=True)
        self.message_user(request, f"{count} {self._counted(count)} active now.")

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = queryset.update(is_active=False)
        self.message_user(request, f"{count} {self._counted(count)} inactive now.")

    def _counted(self, count: int) -> str:
        name = self.opts.verbose_name if count == 1 else self.opts.verbose_name_plural
        return f"{name} {'is' if count == 1 else 'are'}"
