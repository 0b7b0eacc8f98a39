"""Identity providers, their rules for roles, and a test that says what is wrong."""

from __future__ import annotations

from typing import Any

from allauth.core import context
from django import forms
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import NoReverseMatch, URLPattern, path, reverse
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from apps.accounts import people
from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import Page, ReadOnlyPage
from apps.sign_in import provider_changes
from apps.sign_in.errors import ProviderFailed
from apps.sign_in.models import IdentityProvider, OutsideIdentity, RoleRule
from apps.sign_in.outside import diagnosis
from apps.sign_in.outside.endpoints import check_url, issuer_of
from apps.sign_in.outside.flow import callback_url


class IdentityProviderForm(forms.ModelForm):
    new_secret = forms.CharField(
        label="Client secret",
        required=False,
        strip=True,
        max_length=4096,
        help_text="Encrypted and never shown again. Empty: the present one stays. It is sent to "
        "the server it was entered for and to no other.",
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )
    request: Any = None

    class Meta:
        model = IdentityProvider
        exclude = ("secret", "secret_origin", "discovered", "discovered_at")  # noqa: DJ006

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.secret:
            self.fields["new_secret"].widget.attrs["placeholder"] = "•••••••• (kept)"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        kind, url = cleaned.get("kind"), cleaned.get("server_url", "").strip()
        cleaned["server_url"] = url
        known = IdentityProvider.Kind
        if kind == known.GOOGLE and url:
            self.add_error("server_url", "Google's is known: leave this empty.")
        if kind in (known.OIDC, known.MICROSOFT) and not url:
            self.add_error("server_url", "Enter the issuer's URL.")
        if kind == known.MICROSOFT and ("/common/" in url or "/organizations/" in url):
            self.add_error("server_url", "Name your tenant: anybody has some account at Microsoft.")
        if url and "server_url" not in self.errors:
            try:
                check_url(issuer_of(IdentityProvider(kind=kind or "oidc", server_url=url)), "URL")
            except ProviderFailed as failed:
                self.add_error("server_url", str(failed))
        self._check_first_login(cleaned)
        return cleaned

    def _check_first_login(self, cleaned: dict[str, Any]) -> None:
        if cleaned.get("first_login") != IdentityProvider.FirstLogin.TEAM:
            return
        team, role = cleaned.get("default_team"), cleaned.get("default_role")
        if team is None:
            self.add_error("default_team", "Which team do they come into?")
        if not role:
            self.add_error("default_role", "What are they in it?")
        elif team is not None and not people.may_give(asking(self.request), role, team):
            self.add_error("default_role", "This role is not yours to give there.")


class RuleForm(forms.ModelForm):
    request: Any = None

    class Meta:
        model = RoleRule
        fields = ("position", "claim", "operator", "value", "role", "team")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        role = cleaned.get("role") or ""
        if role and not people.may_give(asking(self.request), role, cleaned.get("team")):
            self.add_error("role", "This role is not yours to give there.")
        return cleaned


class RuleInline(TabularInline):
    model = RoleRule
    form = RuleForm
    extra = 0
    hide_title = True

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.form = type("RuleFormOf", (formset.form,), {"request": request})
        return formset


@admin.register(IdentityProvider)
class IdentityProviderAdmin(Page):
    """Who else says who people are."""

    form = IdentityProviderForm
    inlines = (RuleInline,)
    list_display = ("name", "kind", "server", "has_secret", "first_login", "people", "is_active")
    list_filter = ("kind", "is_active")
    search_fields = ("name", "slug", "server_url")
    readonly_fields = ("callback",)
    change_form_outer_before_template = "providers/test_connection.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name", "slug", "kind", "server_url", "client_id", "new_secret", "scopes",
                    "callback", "is_active",
                )
            },
        ),
        (
            "Who is let in",
            {
                "fields": (
                    "allowed_domains", "first_login", "default_team", "default_role",
                    "vouches_for_addresses", "links_by_email",
                )
            },
        ),
    )  # fmt: skip

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        return type("IdentityProviderFormOf", (form,), {"request": request})

    def get_queryset(self, request: HttpRequest) -> QuerySet[IdentityProvider]:
        rows: QuerySet[IdentityProvider] = super().get_queryset(request)
        return rows.annotate(people_count=Count("identities"))

    @display(description="server", ordering="server_url")
    def server(self, row: IdentityProvider) -> str:
        return issuer_of(row)

    @display(description="secret", label={"missing": "warning", "kept": "success"})
    def has_secret(self, row: IdentityProvider) -> str:
        return "kept" if row.secret else "missing"

    @display(description="people", ordering="people_count")
    def people(self, row: Any) -> int:
        return int(row.people_count)

    @display(description="callback URL")
    def callback(self, row: IdentityProvider) -> str:
        """What the provider wants to know as redirect URI."""
        try:
            return callback_url(context.request, row)
        except NoReverseMatch:
            return "It is shown after saving."

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        was_moved = provider_changes.save(
            provider=obj, secret=form.cleaned_data.get("new_secret", ""), changed=form.changed_data
        )
        if was_moved:
            messages.warning(
                request, "The client secret was given for another server, so it was removed."
            )

    def delete_model(self, request: HttpRequest, obj: IdentityProvider) -> None:
        provider_changes.delete(provider=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            provider_changes.delete(provider=row)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        if formset.has_changed():
            provider_changes.rules_changed(provider=form.instance)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        more = dict(extra_context or {})
        if object_id is not None and self.has_change_permission(request):
            more["test_url"] = reverse("admin:sign_in_identityprovider_test", args=[object_id])
            more["test_explanation"] = (
                "Asks the server where it is asked what, for its keys, and whether it knows us."
            )
        return super().changeform_view(request, object_id, form_url, more)

    def get_urls(self) -> list[URLPattern]:
        test = path(
            "<int:object_id>/test/",
            self.admin_site.admin_view(self.test_view),
            name="sign_in_identityprovider_test",
        )
        return [test, *super().get_urls()]

    def test_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, str(object_id))
        if row is None or not self.has_change_permission(request, row):
            raise Http404
        for finding in diagnosis.examine(row):
            level = messages.SUCCESS if finding.is_ok else messages.ERROR
            messages.add_message(request, level, finding.message)
        return redirect("admin:sign_in_identityprovider_change", object_id)


@admin.register(OutsideIdentity)
class OutsideIdentityAdmin(ReadOnlyPage):
    """Which person of a provider is which account here."""

    list_display = ("user", "provider", "email", "subject", "created_at", "used_at")
    list_display_links = None
    list_filter = ("provider",)
    list_select_related = ("user", "provider")
    search_fields = ("user__username", "email", "subject")
