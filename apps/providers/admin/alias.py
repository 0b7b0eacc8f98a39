from __future__ import annotations

from textwrap import shorten
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Prefetch, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import display

from apps.providers import notices
from apps.providers.admin.activation import Activation
from apps.providers.admin.next_step import SaysNext, page_link
from apps.providers.admin.usable import why_none
from apps.providers.models import Alias, Target

_EXPLAINED = (
    "Weighted: each request goes to one target by its share; when that fails, to another, again "
    "by weight. Ordered: the first healthy target by position gets every request."
)
_SHOWN = 4


class TargetInline(TabularInline):
    model = Target
    fields = ("deployment", "weight", "position", "share")
    readonly_fields = ("share",)
    autocomplete_fields = ("deployment",)
    extra = 0
    min_num = 1

    def get_queryset(self, request: HttpRequest) -> QuerySet[Target]:
        rows: QuerySet[Target] = super().get_queryset(request)
        return rows.select_related("alias", "deployment").prefetch_related("alias__targets")

    @admin.display(description="share of the requests")
    def share(self, target: Target) -> str:
        return share_of(target, list(target.alias.targets.all())) if target.pk else "after saving"


@admin.register(Alias)
class AliasAdmin(Activation, SaysNext):
    """The model names that clients ask for."""

    inlines = (TargetInline,)
    change_form_outer_before_template = "providers/before_form.html"
    ordering = ("name",)  # rows that are counted with lose the model's own
    list_display = ("name", "serves", "how", "client_count", "state")
    list_filter = ("strategy", "is_active")
    search_fields = ("name", "targets__deployment__name")
    actions = ("activate", "deactivate")
    fields = ("name", "strategy", "is_active")
    radio_fields = {"strategy": admin.VERTICAL}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alias]:
        targets = Target.objects.select_related(
            "deployment__provider", "deployment__credential__provider"
        ).order_by("position", "pk")
        rows: QuerySet[Alias] = super().get_queryset(request)
        return rows.annotate(client_total=Count("clients", distinct=True)).prefetch_related(
            Prefetch("targets", targets)
        )

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        texts = {
            "name": "What clients write as the model, such as gpt-4o-mini.",
            "strategy": _EXPLAINED,
            "is_active": "An inactive alias is not listed and answers 404.",
        }
        for name in texts.keys() & form.base_fields.keys():
            form.base_fields[name].help_text = texts[name]
        return form

    @admin.display(description="targets")
    def serves(self, alias: Alias) -> str:
        targets = list(alias.targets.all())
        if not targets:
            return "none: requests are refused"
        told = [
            f"{target.deployment} {share_of(target, targets)}"
            if alias.strategy == Alias.Strategy.WEIGHTED and len(targets) > 1
            else str(target.deployment)
            for target in targets[:_SHOWN]
        ]
        more = f" and {len(targets) - _SHOWN} more" if len(targets) > _SHOWN else ""
        return (" · " if alias.strategy == Alias.Strategy.WEIGHTED else " → ").join(told) + more

    @display(
        description="state",
        ordering="is_active",
        label={"ready": "success", "off": "", "blocked": "danger"},
    )
    def state(self, alias: Alias) -> tuple[str, str]:
        if not alias.is_active:
            return "off", "inactive"
        if why := why_none(list(alias.targets.all())):
            return "blocked", f"no usable deployment: {shorten(why, 120, placeholder=' …')}"
        return "ready", "active"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        context = dict(extra_context or {})
        row = self.get_object(request, object_id) if object_id else None
        if row is not None and (why := why_none(list(row.targets.all()))):
            context["obstacle"] = f"Requests for it get 503, no usable deployment: {why}."
        return super().changeform_view(request, object_id, form_url, context)

    def get_formset_kwargs(
        self, request: HttpRequest, obj: Alias, inline: Any, prefix: str
    ) -> dict[str, Any]:
        """A link from a deployment's page chooses it as the first target."""
        given: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        chosen = request.GET.get("deployment", "")
        if request.method == "GET" and obj.pk is None and chosen.isascii() and chosen.isdigit():
            given["initial"] = [{"deployment": chosen}]
        return given

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        rows = Target.objects.filter(alias=form.instance).select_related(
            "deployment__provider", "deployment__credential__provider"
        )
        targets = list(rows)
        if why := why_none(targets):
            messages.warning(request, f"Requests for {form.instance} get 503 for now: {why}.")
        for text in notices.about([each.deployment for each in targets]):
            messages.warning(request, text)

    def next_step(self, request: HttpRequest, obj: Alias) -> SafeString:
        return format_html(
            "Next: let clients use it, where they may not use all models. {}",
            page_link("accounts_client_changelist", "Clients"),
        )

    @display(
        description="strategy",
        ordering="strategy",
        label={"weighted": "info", "ordered": "primary"},
    )
    def how(self, alias: Alias) -> tuple[str, str]:
        return alias.strategy, alias.strategy

    @admin.display(description="clients by name", ordering="client_total")
    def client_count(self, alias: Alias) -> int:
        """Clients that may use all aliases are not among them."""
        return alias.client_total  # type: ignore[attr-defined]


def share_of(target: Target, targets: list[Target]) -> str:
    """How many of the alias's requests a target gets, for people."""
    total = sum(each.weight for each in targets)
    if target.alias.strategy == Alias.Strategy.ORDERED or not total:
        first = min(targets, key=lambda each: (each.position, each.pk))
        return "all, while healthy" if target.pk == first.pk else "fallback"
    if not target.weight:
        return "fallback"
    share = 100 * target.weight / total
    return f"{share:.0f} %" if share >= 1 else f"{share:.2g} %"
