"""Teams: who is in them, and which clients are theirs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import InlineModelAdmin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from apps.accounts import services
from apps.accounts.admin.limited import asking
from apps.accounts.admin.members import MembershipOfTeam, SavesRoles
from apps.accounts.admin.pages import VersionedPage
from apps.accounts.models import ApiKey, Team
from apps.accounts.roles import Capability


@admin.register(Team)
class TeamAdmin(SavesRoles, VersionedPage):
    """Cost centres. A team with clients cannot be deleted; make it inactive instead."""

    list_display: tuple[str, ...] = (
        "name",
        "description",
        "clients_shown",
        "members_shown",
        "is_active",
    )
    list_filter = ("is_active",)
    ordering = ("name",)
    search_fields = ("name", "description")
    fields = ("name", "description", "is_active")
    inlines: tuple[type[InlineModelAdmin], ...] = (MembershipOfTeam,)
    actions = ("close", "open")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                client_count=Count("clients", distinct=True),
                member_count=Count("memberships", distinct=True),
            )
        )

    def has_whole_permission(self, request: HttpRequest) -> bool:
        """Over all teams: their own people do not close them, nor change what documents name."""
        return asking(request).may(Capability.TEAMS_WRITE)

    def get_readonly_fields(self, request: HttpRequest, obj: Team | None = None) -> Any:
        fixed = tuple(super().get_readonly_fields(request, obj))
        return fixed if self.has_whole_permission(request) else (*fixed, "name", "is_active")

    @display(description="clients", ordering="client_count")
    def clients_shown(self, team: Any) -> int:
        return int(team.client_count)

    @display(description="members", ordering="member_count")
    def members_shown(self, team: Any) -> int:
        return int(team.member_count)

    def save_model(self, request: HttpRequest, obj: Team, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "is_active" in form.changed_data:
            services.announce_keys(ApiKey.objects.filter(client__team=obj))

    @admin.action(description="Make inactive: refuse all their keys", permissions=["whole"])
    def close(self, request: HttpRequest, queryset: QuerySet[Team]) -> None:
        self._switch(request, queryset, is_active=False)

    @admin.action(description="Make active again", permissions=["whole"])
    def open(self, request: HttpRequest, queryset: QuerySet[Team]) -> None:
        self._switch(request, queryset, is_active=True)

    def _switch(self, request: HttpRequest, teams: QuerySet[Team], *, is_active: bool) -> None:
        count = services.switch_teams(teams=teams, is_active=is_active)
        state = "active" if is_active else "inactive"
        self.message_user(request, f"{count} teams are {state} now.")
