"""Inviting people: the link is shown once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from apps.accounts import people
from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import Page, actor_of
from apps.sign_in import invitations
from apps.sign_in.models import Invitation
from chatvault.lib import clock


class InvitationForm(forms.ModelForm):
    class Meta:
        model = Invitation
        fields = ("email", "role", "team", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "expires_at" in self.fields:
            self.fields["expires_at"].required = False
            self.fields[
                "expires_at"
            ].help_text = f"UTC. Empty: {settings.CHATVAULT.sign_in.invitation_life_h:g} hours."

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        until = cleaned.get("expires_at")
        if until is not None and until <= clock.now():
            self.add_error("expires_at", "This is over already.")
        request: Any = getattr(self, "request", None)
        if request is not None and not people.may_give(
            asking(request), cleaned.get("role") or "", cleaned.get("team")
        ):
            self.add_error("role", "This role is not yours to give there.")
        return cleaned


@admin.register(Invitation)
class InvitationAdmin(Page):
    """Who was invited as what. An invitation is made or withdrawn, never changed."""

    form = InvitationForm
    list_display = ("email_shown", "role", "team", "state", "invited_by", "expires_at")
    list_display_links = None
    list_filter = (("team", RelatedDropdownFilter),)
    list_filter_submit = True
    list_select_related = ("team", "invited_by", "accepted_by")
    search_fields = ("email", "team__name", "invited_by__username")
    autocomplete_fields = ("team",)
    actions = ("withdraw",)

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        return type("InvitationFormOf", (form,), {"request": request})

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @display(description="for whom", ordering="email")
    def email_shown(self, row: Invitation) -> str:
        return row.email or "whoever has the link"

    @display(
        description="state",
        label={"open": "success", "accepted": "info", "withdrawn": "danger", "over": "warning"},
    )
    def state(self, row: Invitation) -> tuple[str, str]:
        if row.accepted_at:
            return "accepted", f"accepted by {row.accepted_by}"
        if row.withdrawn_at:
            return "withdrawn", "withdrawn"
        return ("open", "open") if row.is_open(clock.now()) else ("over", "over")

    def save_model(self, request: HttpRequest, obj: Invitation, form: Any, change: bool) -> None:
        life = obj.expires_at - clock.now() if obj.expires_at else None
        made, token = invitations.invite(
            by=actor_of(request), role=obj.role, team=obj.team, email=obj.email, life=life
        )
        obj.pk, obj.expires_at, obj.digest = made.pk, made.expires_at, made.digest
        obj._state.adding = False
        url = request.build_absolute_uri(reverse("sign_in_invitation", args=[token]))
        messages.warning(
            request,
            format_html("Give them this link, which is shown only now: <code>{}</code>", url),
        )
        if made.email and settings.CHATVAULT.mail.is_used:
            self._mail(request, made, url)

    def _mail(self, request: HttpRequest, made: Invitation, url: str) -> None:
        try:
            invitations.mail(invitation=made, url=url)
        except OSError as error:
            messages.error(request, f"It could not be mailed ({type(error).__name__}).")
        else:
            messages.success(request, f"It was mailed to {made.email}.")

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The trail has it."""

    def has_withdraw_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request)

    @admin.action(description="Withdraw", permissions=["withdraw"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        count = sum(invitations.withdraw(invitation=row) for row in queryset)
        self.message_user(request, f"{count} invitations were withdrawn.")
