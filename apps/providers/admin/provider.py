from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import display

from apps.providers import services
from apps.providers.admin.activation import Activation
from apps.providers.admin.next_step import SaysNext, page_link
from apps.providers.admin.provider_form import WITHOUT_URL, ProviderForm, private_warning
from apps.providers.admin.secret_form import CredentialForm, state_of
from apps.providers.models import Credential, Deployment, Provider
from chatvault.lib.errors import UpstreamForbidden


class CredentialInline(TabularInline):
    model = Credential
    form = CredentialForm
    fields = ("name", "new_secret", "kept", "is_active")
    readonly_fields = ("kept",)
    extra = 0
    show_change_link = True

    @admin.display(description="stored")
    def kept(self, credential: Credential) -> str:
        return state_of(credential)[1] if credential.pk else "not yet"


class DeploymentInline(TabularInline):
    """What the provider serves; it is edited on its own page."""

    model = Deployment
    fields = ("name", "model", "credential", "is_active")
    readonly_fields: ClassVar[Any] = ("name", "model", "credential", "is_active")
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        rows: QuerySet[Deployment] = super().get_queryset(request)
        return rows.select_related("credential__provider")


@admin.register(Provider)
class ProviderAdmin(Activation, SaysNext):
    """Where requests go: an API of one family at one address, with its secrets."""

    form = ProviderForm
    inlines = (CredentialInline, DeploymentInline)
    change_form_outer_before_template = "providers/before_form.html"
    ordering = ("name",)  # rows that are counted with lose the model's own
    list_display = ("name", "family", "address", "secrets", "deployment_count", "is_active")
    list_filter = ("family", "is_active")
    search_fields = ("name", "base_url")
    actions = ("activate", "deactivate")
    fieldsets = (
        (None, {"fields": ("name", "family", "base_url", "is_active")}),
        (
            "Differences and deadlines",
            {"fields": ("options", ("connect_timeout_s", "first_byte_timeout_s"))},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        rows: QuerySet[Provider] = super().get_queryset(request)
        return rows.annotate(
            deployment_total=Count("deployments", distinct=True),
            secret_total=Count("credentials", distinct=True),
            missing_total=Count("credentials", filter=Q(credentials__secret=""), distinct=True),
        )

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model is not Credential:
            super().save_formset(request, form, formset, change)
            return
        formset.save(commit=False)
        for credential in formset.deleted_objects:
            credential.delete()
        for credential_form in formset.forms:
            if credential_form.has_changed() and not formset._should_delete_form(credential_form):
                credential_form.instance.provider = form.instance
                credential_form.store()

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        self._tell(request, form.instance)

    def _tell(self, request: HttpRequest, provider: Provider) -> None:
        for lost in services.wipe_moved_secrets(provider=provider):
            messages.warning(
                request,
                f"The secret of {lost.name} was removed, because it was given for another "
                "address: enter it again.",
            )
        try:
            warning = private_warning(provider.base_url)
        except UpstreamForbidden as forbidden:
            warning = forbidden.message
        if warning:
            messages.warning(request, f"Requests to {provider.name} fail for now: {warning}")

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        context = dict(extra_context or {})
        if _is_id(object_id) and request.user.has_perm("providers.add_deployment"):
            context["next_links"] = [_add_deployment(object_id)]
        return super().changeform_view(request, object_id, form_url, context)

    def next_step(self, request: HttpRequest, obj: Provider) -> str | SafeString:
        if obj.family not in WITHOUT_URL and not obj.credentials.exists():
            return format_html(
                "Next: add a credential, unless it needs none, then a deployment. {} {}",
                page_link("providers_credential_add", "Add a credential", provider=obj.pk),
                _add_deployment(obj.pk),
            )
        return format_html("Next: say which of its models to use. {}", _add_deployment(obj.pk))

    @admin.display(description="base URL", ordering="base_url")
    def address(self, provider: Provider) -> str:
        return provider.base_url or "(none needed)"

    @display(
        description="credentials",
        ordering="secret_total",
        label={"missing": "danger", "some": "success", "none": ""},
    )
    def secrets(self, provider: Any) -> tuple[str, str]:
        if provider.missing_total:
            return "missing", f"{provider.missing_total} without secret"
        return ("some", str(provider.secret_total)) if provider.secret_total else ("none", "none")

    @admin.display(description="deployments", ordering="deployment_total")
    def deployment_count(self, provider: Any) -> int:
        return provider.deployment_total


def _add_deployment(provider_id: object) -> str | SafeString:
    return page_link("providers_deployment_add", "Add a deployment", provider=provider_id)


def _is_id(text: str | None) -> bool:
    return text is not None and text.isascii() and text.isdigit()
