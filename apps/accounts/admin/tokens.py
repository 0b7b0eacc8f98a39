"""JWTs: the keys that sign them, the sessions that hold them, the outside issuers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.accounts import jwt_sessions, outside_issuers, signing
from apps.accounts.admin.limited import LimitedChoices
from apps.accounts.admin.pages import Page, ReadOnlyPage
from apps.accounts.models import IssuerRule, SigningKey, TokenSession, TrustedIssuer
from apps.accounts.roles import MACHINE_SCOPES
from chatvault.lib import clock
from chatvault.lib.errors import UpstreamForbidden
from chatvault.lib.guarded_fetch import FetchFailed
from chatvault.lib.http_guard import parse_target

STATES = {
    "signs": "success",
    "retired": "warning",
    "ended": "danger",
    "live": "success",
    "expired": "default",
    "revoked": "danger",
}


class Names(forms.CharField):
    """Several names with commas between them, kept as a list."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"widget": UnfoldAdminTextInputWidget()} | kwargs)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return [part.strip() for part in (text or "").split(",") if part.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyPage):
    """Key pairs that sign JWTs. A new key signs from the moment it is made; older ones are
    believed until what they signed has ended, unless they are ended by hand."""

    list_display = ("kid", "algorithm", "state", "created_at", "retired_at", "ends_at")
    list_filter = ("algorithm",)
    search_fields = ("kid",)
    fields = readonly_fields = (
        "kid",
        "algorithm",
        "state",
        "public_jwk",
        "created_at",
        "retired_at",
        "ends_at",
    )
    actions = ("rotate", "end")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SigningKey]:
        return super().get_queryset(request).defer("sealed")

    @display(description="state", label=STATES)
    def state(self, key: SigningKey) -> str:
        if key.ends_at is not None and key.ends_at <= clock.now():
            return "ended"
        return "retired" if key.retired_at else "signs"

    @admin.action(description="Replace: a new key signs from now on", permissions=["rotate"])
    def rotate(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        key = signing.rotate_signing_keys()
        self.message_user(request, f"{key} signs from now on; tokens of older keys stay good.")

    @admin.action(description="End: refuse all that it signed", permissions=["rotate"])
    def end(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        for key in queryset:
            signing.end_signing_key(key=key)
        self.message_user(request, "What these keys signed is refused from now on.")

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_signingkey")


@admin.register(TokenSession)
class TokenSessionAdmin(ReadOnlyPage):
    """Sign-ins for JWTs, without the tokens themselves. Ending one refuses all its tokens."""

    list_display = (
        "user",
        "label",
        "client",
        "state",
        "scopes_shown",
        "created_at",
        "refreshed_at",
        "expires_at",
        "address",
    )
    list_filter = (
        ("user", RelatedDropdownFilter),
        ("client", RelatedDropdownFilter),
        "ended_because",
    )
    list_filter_submit = True
    list_select_related = ("user", "client")
    search_fields = ("user__username", "name", "client__name")
    fields = readonly_fields = (
        "user",
        "label",
        "client",
        "state",
        "scopes_shown",
        "created_at",
        "refreshed_at",
        "expires_at",
        "revoked_at",
        "ended_because",
        "address",
    )
    actions = ("end",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TokenSession]:
        return super().get_queryset(request).defer("refresh_jti")

    @display(description="name", ordering="name")
    def label(self, session: TokenSession) -> str:
        return session.name or "–"

    @display(description="scopes")
    def scopes_shown(self, session: TokenSession) -> str:
        return ", ".join(session.scopes) or "all that the person may do"

    @display(description="state", label=STATES)
    def state(self, session: TokenSession) -> str:
        if session.revoked_at is not None:
            return "revoked"
        return "live" if session.expires_at > clock.now() else "expired"

    @admin.action(description="End: refuse all its tokens", permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[TokenSession]) -> None:
        count = jwt_sessions.end_sessions(sessions=queryset, why="ended in the admin")
        self.message_user(request, f"{count} sessions ended.")

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_tokensession")


class IssuerRuleForm(forms.ModelForm):
    scopes = Names(help_text="With commas, such as: inference, usage:read")

    def clean_scopes(self) -> list[str]:
        wanted: list[str] = self.cleaned_data["scopes"]
        if unknown := sorted(set(wanted) - MACHINE_SCOPES):
            known = ", ".join(sorted(MACHINE_SCOPES))
            raise forms.ValidationError(f"There is no scope {unknown[0]}. There are: {known}.")
        return wanted


class RulesOfIssuer(LimitedChoices, TabularInline):
    model = IssuerRule
    form = IssuerRuleForm
    fields = ("position", "claim", "value", "client", "scopes")
    autocomplete_fields = ("client",)
    extra = 0
    hide_title = True
    verbose_name = "rule"
    verbose_name_plural = "rules: the first that fits says for which client a token calls"


class TrustedIssuerForm(forms.ModelForm):
    audiences = Names(
        help_text="The `aud` values that are meant for ChatVault, with commas; one must match."
    )

    def clean_issuer(self) -> str:
        return self._address("issuer")

    def clean_jwks_url(self) -> str:
        return self._address("jwks_url") if self.cleaned_data["jwks_url"] else ""

    def _address(self, name: str) -> str:
        text: str = self.cleaned_data[name]
        try:
            parse_target(text)
        except UpstreamForbidden:
            raise forms.ValidationError(
                "Write a whole address, such as https://id.example.com."
            ) from None
        return text


@admin.register(TrustedIssuer)
class TrustedIssuerAdmin(Page):
    """Outside issuers whose JWTs are accepted beside keys."""

    form = TrustedIssuerForm
    inlines = (RulesOfIssuer,)
    list_display = ("name", "issuer", "is_active", "rules", "keys", "fetched_at", "problem")
    list_filter = ("is_active",)
    search_fields = ("name", "issuer")
    fields = (
        "name",
        "issuer",
        "audiences",
        "jwks_url",
        "max_lifetime_s",
        "is_active",
        "keys",
        "fetched_at",
        "problem",
    )
    readonly_fields = ("keys", "fetched_at", "problem")
    actions = ("fetch_now",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrustedIssuer]:
        return super().get_queryset(request).annotate(rule_count=Count("rules"))

    @display(description="rules", ordering="rule_count")
    def rules(self, issuer: Any) -> int:
        return int(issuer.rule_count)

    @display(description="keys")
    def keys(self, issuer: TrustedIssuer) -> str:
        kids = [str(key.get("kid")) for key in issuer.jwks.get("keys", ())]
        return ", ".join(kids[:3]) + ("…" if len(kids) > 3 else "") or "none yet"

    @display(description="last problem")
    def problem(self, issuer: TrustedIssuer) -> str:
        return issuer.fetch_problem or "–"

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        outside_issuers.changed(form.instance)

    def delete_model(self, request: HttpRequest, obj: TrustedIssuer) -> None:
        outside_issuers.changed(obj)
        super().delete_model(request, obj)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        self._fetch(request, obj)
        return super().response_add(request, obj, post_url_continue)

    @admin.action(description="Fetch their keys now", permissions=["change"])
    def fetch_now(self, request: HttpRequest, queryset: QuerySet[TrustedIssuer]) -> None:
        for issuer in queryset:
            self._fetch(request, issuer)

    def _fetch(self, request: HttpRequest, issuer: TrustedIssuer) -> None:
        try:
            outside_issuers.fetch_keys(issuer)
        except FetchFailed as problem:
            messages.warning(request, f"The keys of {issuer} cannot be fetched: {problem}")
        else:
            count = len(issuer.jwks["keys"])
            messages.success(request, f"{count} keys of {issuer} fetched.")
