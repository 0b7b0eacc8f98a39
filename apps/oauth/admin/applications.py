"""OAuth applications: registered here, the secret shown once."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminURLInputWidget

from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import Page, actor_of
from apps.oauth import services
from apps.oauth.admin.fields import ScopesField, refuse_too_wide
from apps.oauth.issuer import issuer_of
from apps.oauth.models import AccessToken, Application, ApplicationQuerySet, RefreshToken

_SHORT = {
    Application.GRANT_AUTHORIZATION_CODE: "code",
    Application.GRANT_DEVICE_CODE: "device",
    Application.GRANT_CLIENT_CREDENTIALS: "client credentials",
}


class ApplicationForm(forms.ModelForm):
    who: ClassVar[Any]
    scopes = ScopesField(
        "The most that its tokens may ever do. You can give what you may do yourself in the team."
    )

    homepage = forms.URLField(
        required=False,
        max_length=200,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text="Where people read about the application, such as https://app.example.com.",
    )

    class Meta:
        labels = {"client_type": "Keeps a secret", "redirect_uris": "Redirect addresses"}
        help_texts = {
            "name": "People read it when they are asked whether they allow it.",
            "client_type": "Confidential: it runs on a server and can keep a secret. Public: it "
            "runs in a browser, on a phone or on somebody's computer, and gets none.",
            "redirect_uris": "Where people may be sent back to, such as "
            "https://app.example.com/callback; several with blanks between them. The whole "
            "address must match. http is allowed for 127.0.0.1, [::1] and localhost alone.",
            "is_active": "Off: its tokens are refused everywhere, within a second or two.",
            "payer": "Its team owns the application. Calls with the application's tokens use "
            "this client's models, quotas and budgets.",
        }
        widgets = {"redirect_uris": forms.Textarea(attrs={"rows": 3})}

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip()
        if not name:
            raise forms.ValidationError("Give it a name that people will recognise.")
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        payer = cleaned.get("payer") or getattr(self.instance, "payer", None)
        known = self.instance.scopes if self.instance.pk else ()
        refuse_too_wide(self, self.who, cleaned.get("scopes", ()), payer, known)
        return cleaned


@admin.register(Application)
class ApplicationAdmin(Page):
    form = ApplicationForm
    list_display = ("name", "payer", "team", "flow", "kind", "people", "is_active", "created")
    list_filter = (
        "is_active",
        ("authorization_grant_type", ChoicesDropdownFilter),
        ("registration_source", ChoicesDropdownFilter),
        ("payer", RelatedDropdownFilter),
    )
    list_filter_submit = True
    list_select_related = ("payer__team",)
    ordering = ("name",)
    search_fields = ("name", "description", "payer__name", "payer__team__name", "client_id")
    search_help_text = "By name, client, team or the whole client id"
    autocomplete_fields = ("payer",)
    actions = ("enable", "disable", "new_secret")
    falls_with: ClassVar[tuple[type[Model], ...]] = (RefreshToken, AccessToken)
    _CHOSEN = (
        (None, {"fields": ("name", "payer", "description", "homepage", "is_active")}),
        (
            "How it gets tokens",
            {"fields": ("authorization_grant_type", "client_type", "redirect_uris")},
        ),
        ("What it may do", {"fields": ("scopes",)}),
    )

    def get_queryset(self, request: HttpRequest) -> ApplicationQuerySet:
        rows: ApplicationQuerySet = super().get_queryset(request)
        return rows.defer("client_secret", "registration_digest").with_people_count()

    def get_fieldsets(self, request: HttpRequest, obj: Application | None = None) -> Any:
        if obj is None:
            return self._CHOSEN
        known = {"fields": ("client_id", "origin", "user", "created", "updated")}
        return (*self._CHOSEN, ("Its registration", known))

    def get_readonly_fields(self, request: HttpRequest, obj: Application | None = None) -> Any:
        known = ("client_id", "origin", "user", "created", "updated")
        return () if obj is None else (*known, "authorization_grant_type", "client_type", "payer")

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        form.who = asking(request)
        return form

    @display(description="team", ordering="payer__team__name")
    def team(self, application: Application) -> str:
        return str(application.payer.team)

    @display(description="flow", ordering="authorization_grant_type")
    def flow(self, application: Application) -> str:
        return _SHORT.get(application.authorization_grant_type, "–")

    @display(description="kind", ordering="client_type")
    def kind(self, application: Application) -> str:
        return str(application.client_type)

    @display(description="people", ordering="people_count")
    def people(self, application: Any) -> int:
        return int(application.people_count)

    @display(description="registered")
    def origin(self, application: Application) -> str:
        if not application.has_registered_itself:
            return "by an admin or by the API"
        return f"itself, with the token “{application.initial_token or 'deleted'}”"

    def save_model(self, request: HttpRequest, obj: Application, form: Any, change: bool) -> None:
        if not change:
            self._check(request, "add", obj)
            request.issued = services.make_application(  # type: ignore[attr-defined]
                application=obj, user=actor_of(request)
            )
            return
        self._check(request, "change", obj)
        before = services.state_of(Application.objects.get(pk=obj.pk))
        services.change_application(application=obj, before=before)

    def delete_model(self, request: HttpRequest, obj: Application) -> None:
        services.end_application(application=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        for each in queryset:
            services.end_application(application=each)

    def response_add(
        self, request: HttpRequest, obj: Application, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._show_once(request, request.issued)  # type: ignore[attr-defined]

    def _show_once(self, request: HttpRequest, issued: services.Issued) -> HttpResponse:
        """The secret is in this answer and nowhere else."""
        response = TemplateResponse(
            request,
            "admin/oauth/application_made.html",
            self.admin_site.each_context(request)
            | {
                "title": "Copy what the application needs now",
                "application": issued.application,
                "secret": issued.secret.reveal() if issued.secret else "",
                "issuer": issuer_of(request),
            },
        )
        response["Cache-Control"] = "no-store, private"
        response["Referrer-Policy"] = "no-referrer"
        return response

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        count = services.switch_applications(applications=queryset, is_active=True)
        self.message_user(request, f"{count} applications enabled.")

    @admin.action(description="Disable: refuse their tokens", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Application]) -> None:
        count = services.switch_applications(applications=queryset, is_active=False)
        self.message_user(request, f"{count} applications disabled.")

    @admin.action(description="Make a new secret: the old one ends at once", permissions=["change"])
    def new_secret(
        self, request: HttpRequest, queryset: QuerySet[Application]
    ) -> HttpResponse | None:
        chosen = list(queryset[:2])
        if len(chosen) != 1 or chosen[0].client_type != Application.CLIENT_CONFIDENTIAL:
            messages.error(request, "Choose one application that keeps a secret.")
            return None
        return self._show_once(request, services.rotate_secret(application=chosen[0]))
