"""Initial access tokens: with one of them an application may register itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import Page, actor_of
from apps.oauth import services
from apps.oauth.admin.fields import ScopesField, refuse_too_wide
from apps.oauth.issuer import issuer_of
from apps.oauth.models import InitialAccessToken
from chatvault.lib import clock


class InitialTokenForm(forms.ModelForm):
    who: ClassVar[Any]
    scopes = ScopesField("The most that applications may ask for that register with it.")

    class Meta:
        help_texts = {
            "expires_at": "From then on nobody registers with it. Applications that did stay.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "expires_at" in self.fields:
            self.fields["expires_at"].initial = clock.now() + timedelta(days=7)

    def clean_expires_at(self) -> Any:
        moment = self.cleaned_data["expires_at"]
        if moment and moment <= clock.now():
            raise forms.ValidationError("This moment has passed. Choose a later one.")
        return moment

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        refuse_too_wide(self, self.who, cleaned.get("scopes", ()), cleaned.get("payer"), ())
        return cleaned


@admin.register(InitialAccessToken)
class InitialTokenAdmin(Page):
    """Shown once; afterwards only revoked."""

    form = InitialTokenForm
    list_display = ("name", "payer", "team", "hint", "status", "used", "expires_at", "created_by")
    list_filter = (("payer", RelatedDropdownFilter),)
    list_filter_submit = True
    list_select_related = ("payer__team", "created_by")
    search_fields = ("name", "payer__name", "payer__team__name")
    search_help_text = "By name, client or team"
    autocomplete_fields = ("payer",)
    fields = ("name", "payer", "scopes", "max_uses", "expires_at")
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[InitialAccessToken]:
        return super().get_queryset(request).defer("digest")

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        form.who = asking(request)
        return form

    def has_change_permission(
        self, request: HttpRequest, obj: InitialAccessToken | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: InitialAccessToken | None = None
    ) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)

    @display(description="team", ordering="payer__team__name")
    def team(self, token: InitialAccessToken) -> str:
        return str(token.payer.team)

    @display(description="status", label={"usable": "success", "revoked": "danger"})
    def status(self, token: InitialAccessToken) -> str:
        if token.revoked_at is not None:
            return "revoked"
        if token.expires_at <= clock.now():
            return "expired"
        return "used up" if token.uses >= token.max_uses else "usable"

    @display(description="registrations", ordering="uses")
    def used(self, token: InitialAccessToken) -> str:
        return f"{token.uses} of {token.max_uses}"

    def save_model(
        self, request: HttpRequest, obj: InitialAccessToken, form: Any, change: bool
    ) -> None:
        self._check(request, "add", obj)
        row, secret = services.issue_initial_token(
            name=obj.name,
            payer=obj.payer,
            scopes=obj.scopes,
            expires_at=obj.expires_at,
            max_uses=obj.max_uses,
            user=actor_of(request),
        )
        form.instance.pk = row.pk
        request.issued = row, secret  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: InitialAccessToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        row, secret = request.issued  # type: ignore[attr-defined]
        response = TemplateResponse(
            request,
            "admin/oauth/initial_token_made.html",
            self.admin_site.each_context(request)
            | {
                "title": "Copy the initial access token now",
                "token": row,
                "secret": secret.reveal(),
                "issuer": issuer_of(request),
            },
        )
        response["Cache-Control"] = "no-store, private"
        response["Referrer-Policy"] = "no-referrer"
        return response

    @admin.action(description="Revoke: nobody registers with them", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[InitialAccessToken]) -> None:
        count = services.revoke_initial_tokens(tokens=queryset)
        self.message_user(request, f"{count} tokens revoked. Applications that registered stay.")
