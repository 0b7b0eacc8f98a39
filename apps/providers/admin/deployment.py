from __future__ import annotations

from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from unfold.decorators import display

from apps.providers import notices, services
from apps.providers.admin.activation import Activation
from apps.providers.admin.connection import TestsConnection
from apps.providers.admin.next_step import SaysNext, page_link
from apps.providers.admin.usable import state_of
from apps.providers.models import Deployment, Probe
from apps.providers.models.probe import newest, newest_answer

_PROBES: Final = 10


class DeploymentForm(forms.ModelForm):
    class Meta:
        model = Deployment
        fields = ("name", "provider", "credential", "model", "max_output_tokens", "is_active")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        default = settings.CHATVAULT.gateway.default_max_output_tokens
        if "max_output_tokens" in self.fields:
            self.fields["max_output_tokens"].help_text = (
                "Tokens; the most that the model can answer with. Requests that name no limit "
                f"reserve so much of a budget. Empty: {default:,}."
            )
        if "credential" in self.fields:
            self.fields["credential"].help_text = (
                "The provider's secret to use. Empty for providers that need none, such as a "
                "local Ollama."
            )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        provider, credential = cleaned.get("provider"), cleaned.get("credential")
        if provider and credential and credential.provider_id != provider.pk:
            self.add_error(
                "credential",
                f"This is a credential of {credential.provider}. Choose one of {provider}, or "
                f"add one to it.",
            )
        return cleaned


@admin.register(Deployment)
class DeploymentAdmin(Activation, SaysNext, TestsConnection):
    """Models at providers, which aliases send requests to."""

    form = DeploymentForm
    ordering = ("name",)  # rows that are counted with lose the model's own
    list_display = ("name", "provider", "model", "credential_name", "used_by", "state", "health")
    list_filter = ("provider", "is_active")
    list_select_related = ("provider", "credential__provider")
    search_fields = ("name", "model", "provider__name")
    autocomplete_fields = ("provider",)
    actions = ("test_connection", "activate", "deactivate")
    test_explanation = (
        "Asks the model for a few tokens with what is saved here. The provider may charge them."
    )
    fieldsets = (
        (None, {"fields": ("name", "is_active")}),
        ("Where it is", {"fields": ("provider", "credential", "model")}),
        ("Limits", {"fields": ("max_output_tokens",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        rows: QuerySet[Deployment] = super().get_queryset(request)
        return rows.annotate(
            alias_total=Count("targets"),
            probe_ok=newest("is_ok"),
            probe_at=newest("at"),
            probe_ms=newest("latency_ms"),
            answered_at=newest_answer(),
        )

    @admin.display(description="credential", ordering="credential__name")
    def credential_name(self, deployment: Deployment) -> str:
        return deployment.credential.name if deployment.credential else "none"

    @admin.display(description="aliases", ordering="alias_total")
    def used_by(self, deployment: Deployment) -> int:
        return deployment.alias_total  # type: ignore[attr-defined]

    @display(
        description="state",
        ordering="is_active",
        label={"ready": "success", "off": "", "blocked": "danger"},
    )
    def state(self, deployment: Deployment) -> tuple[str, str]:
        """Whether a gateway would use it, and if not, what is in the way."""
        return state_of(deployment)

    @display(
        description="last probe",
        label={"ok": "success", "failed": "danger", "none": ""},
    )
    def health(self, deployment: Any) -> tuple[str, str]:
        """What the last probe found; of a failure, since when it has not answered."""
        if deployment.probe_ok is None:
            return "none", "not probed yet"
        if deployment.probe_ok:
            return "ok", f"answered in {deployment.probe_ms or 0:,} ms"
        if deployment.answered_at is None:
            return "failed", "never answered"
        return "failed", f"no answer since {timesince(deployment.answered_at)}"

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
            context |= self._about(request, row)
        return super().changeform_view(request, object_id, form_url, context)

    def _about(self, request: HttpRequest, row: Deployment) -> dict[str, Any]:
        kind, text = state_of(row)
        about: dict[str, Any] = {
            "next_links": [],
            "notices": notices.about([row]),
            "probes": list(Probe.objects.newest_of(row.pk)[:_PROBES]),
        }
        if kind == "blocked":
            about["obstacle"] = f"Gateways do not use it: {text}."
        if request.user.has_perm("providers.add_alias"):
            about["next_links"] = [_add_alias(row)]
        return about

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        row: Deployment = form.instance
        if row.credential is not None and (problem := services.secret_problem(row.credential)):
            messages.warning(request, f"Gateways do not use {row} yet: secret missing: {problem}.")
        for text in notices.about([row]):
            messages.warning(request, text)

    def next_step(self, request: HttpRequest, obj: Deployment) -> SafeString:
        return format_html("Next: give it a name that clients ask for. {}", _add_alias(obj))


def _add_alias(row: Deployment) -> str | SafeString:
    return page_link("providers_alias_add", "Add an alias", name=row.model, deployment=row.pk)
