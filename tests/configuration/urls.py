"""An admin with one versioned page, to be free of what the real pages show."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import path
from unfold.sites import UnfoldAdminSite

from apps.accounts.models import Team
from apps.configuration.admin import VersionedAdmin
from chatvault.urls import urlpatterns as real


class TeamAdmin(VersionedAdmin):
    fields = ("name", "description", "is_active")
    actions = ("close", "fail")

    def close(self, request: HttpRequest, queryset: Any) -> None:
        queryset.update(is_active=False)

    def fail(self, request: HttpRequest, queryset: Any) -> None:
        queryset.update(is_active=False)
        raise RuntimeError("half way")


site = UnfoldAdminSite(name="bare")
site.register(Team, TeamAdmin)
urlpatterns = [path("bare/", site.urls), *real]
