"""Who allowed what to which application, and tokens that work now; never a token itself."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from apps.accounts.admin.pages import Page, ReadOnlyPage
from apps.oauth import services
from apps.oauth.models import AccessToken, RefreshToken
from chatvault.lib import clock


class _IssuedPage(ReadOnlyPage):
    """Rows that nobody edits; they are revoked together."""

    actions = ("revoke",)
    list_filter: tuple[Any, ...] = (
        ("application", RelatedDropdownFilter),
        ("user", RelatedDropdownFilter),
    )
    list_filter_submit = True
    search_fields = ("application__name", "user__username", "application__payer__name")
    search_help_text = "By application, person or client"
    ordering = ("-created",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return super(Page, self).has_change_permission(request)

    @display(description="client", ordering="application__payer__name")
    def client(self, row: Any) -> str:
        return f"{row.application.payer} ({row.application.payer.team})"

    @display(description="person", ordering="user__username")
    def person(self, row: Any) -> str:
        return row.user.get_username() if row.user else "itself"


@admin.register(RefreshToken)
class GrantAdmin(_IssuedPage):
    """One row for each application that acts for a person."""

    list_display = ("application", "client", "person", "scopes", "renewed", "access_ends")
    list_select_related = ("application__payer__team", "user", "access_token")
    fields = readonly_fields = (
        "application", "client", "person", "scopes", "renewed", "access_ends",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[RefreshToken]:
        rows: QuerySet[RefreshToken] = super().get_queryset(request)
        live = rows.filter(revoked=None).exclude(access_token=None)
        return live.defer("token", "token_checksum")

    @display(description="may do")
    def scopes(self, row: RefreshToken) -> str:
        return row.access_token.scope if row.access_token else "–"

    @display(description="given or renewed", ordering="created")
    def renewed(self, row: RefreshToken) -> Any:
        return row.created

    @display(description="access token until", ordering="access_token__expires")
    def access_ends(self, row: RefreshToken) -> Any:
        return row.access_token.expires if row.access_token else None

    @admin.action(description="Revoke: the applications must ask again", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[RefreshToken]) -> None:
        count = services.revoke_grants(grants=queryset, why="revoked by an admin")
        self.message_user(request, f"{count} grants revoked.")


@admin.register(AccessToken)
class AccessTokenAdmin(_IssuedPage):
    """Tokens that work now, those of applications that act for themselves among them."""

    list_display = ("application", "client", "person", "scope", "created", "expires")
    list_select_related = ("application__payer__team", "user")
    fields = readonly_fields = ("application", "client", "person", "scope", "created", "expires")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessToken]:
        rows: QuerySet[AccessToken] = super().get_queryset(request)
        return rows.filter(expires__gt=clock.now()).defer("token", "token_checksum")

    @admin.action(
        description="Revoke: with the grants that would renew them", permissions=["revoke"]
    )
    def revoke(self, request: HttpRequest, queryset: QuerySet[AccessToken]) -> None:
        count = services.revoke_access_tokens(tokens=queryset, why="revoked by an admin")
        self.message_user(request, f"{count} access tokens revoked.")
