from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from apps.providers import notices, services
from apps.providers.admin.activation import Activation
from apps.providers.admin.connection import TestsConnection
from apps.providers.admin.next_step import SaysNext, page_link
from apps.providers.admin.secret_form import CredentialForm, state_of
from apps.providers.models import Credential


@admin.register(Credential)
class CredentialAdmin(Activation, SaysNext, TestsConnection):
    """Secrets of providers. What is stored is told by its kind, never shown."""

    form = CredentialForm
    ordering = ("provider__name", "name")  # rows that are counted with lose the model's own
    list_display = ("name", "provider", "kept", "deployment_count", "is_active")
    list_filter = ("provider", "is_active")
    list_select_related = ("provider",)
    search_fields = ("name", "provider__name")
    actions = ("test_connection", "activate", "deactivate")
    readonly_fields = ("stored",)
    test_explanation = (
        "Asks the provider for its list of models with the stored secret. It costs nothing."
    )
    fieldsets = ((None, {"fields": ("provider", "name", "new_secret", "stored", "is_active")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        rows: QuerySet[Credential] = super().get_queryset(request)
        return rows.annotate(deployment_total=Count("deployments"))

    def get_readonly_fields(self, request: HttpRequest, obj: Credential | None = None) -> Any:
        """A secret stays with the provider that it was given for."""
        return ("stored", "provider") if obj else ("stored",)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        context = dict(extra_context or {})
        row = self.get_object(request, object_id) if object_id else None
        if row is not None and request.method == "GET":
            context["notices"] = notices.about(list(row.deployments.all()))
        return super().changeform_view(request, object_id, form_url, context)

    def save_model(
        self, request: HttpRequest, obj: Credential, form: CredentialForm, change: bool
    ) -> None:
        form.store()
        if problem := services.secret_problem(obj):
            messages.warning(request, f"Deployments with {obj} get no requests: {problem}.")

    def next_step(self, request: HttpRequest, obj: Credential) -> SafeString:
        add = page_link(
            "providers_deployment_add",
            "Add a deployment",
            provider=obj.provider_id,
            credential=obj.pk,
        )
        return format_html("Next: say which models to use with it. {}", add)

    @display(
        description="secret",
        label={"missing": "danger", "sealed": "success", "reference": "info"},
    )
    def kept(self, credential: Credential) -> tuple[str, str]:
        return state_of(credential)

    @admin.display(description="stored")
    def stored(self, credential: Credential) -> str:
        if credential.pk is None:
            return "nothing yet"
        state = state_of(credential)[1]
        return f"{state}; sent to {credential.origin} only" if credential.secret else state

    @admin.display(description="deployments", ordering="deployment_total")
    def deployment_count(self, credential: Credential) -> int:
        return credential.deployment_total  # type: ignore[attr-defined]
