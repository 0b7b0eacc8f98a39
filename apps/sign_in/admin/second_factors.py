"""Who has which second factor; an owner takes them away from who has lost them."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from apps.accounts.admin.pages import ReadOnlyPage
from apps.sign_in import second_factor

if admin.site.is_registered(Authenticator):  # allauth's page shows what nobody may read
    admin.site.unregister(Authenticator)


@admin.register(Authenticator)
class SecondFactorAdmin(ReadOnlyPage):
    """Authenticator apps, security keys and recovery codes; never their seeds."""

    list_display = ("user", "kind", "created_at", "last_used_at")
    fields = ("user", "kind", "created_at", "last_used_at")
    readonly_fields = fields
    list_filter = ("type",)
    list_select_related = ("user",)
    ordering = ("user__username", "type")
    search_fields = ("user__username", "user__email")
    actions = ("remove_all",)

    @display(description="kind", ordering="type")
    def kind(self, row: Any) -> str:
        if row.type == Authenticator.Type.WEBAUTHN:
            return f"security key: {row.data.get('name', '')}"
        return str(row.get_type_display())

    def has_remove_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("mfa.change_authenticator"))

    @admin.action(description="Remove all second factors of these people", permissions=["remove"])
    def remove_all(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        people = {row.user for row in queryset.select_related("user")}
        for user in people:
            second_factor.remove_all(user=user)
        self.message_user(request, f"{len(people)} people have no second factor now.")
