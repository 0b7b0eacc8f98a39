from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from apps.providers.models import Probe


@admin.register(Probe)
class ProbeAdmin(ModelAdmin):
    """Looks at deployments, the newest first. They write themselves."""

    list_display = ("deployment", "at", "answered", "latency", "kind", "message")
    list_display_links = None
    list_filter = (("deployment", RelatedDropdownFilter), "is_ok", "kind")
    list_filter_submit = True
    list_select_related = ("deployment",)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("deployment__name", "message")
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="answered", ordering="is_ok", label={"ok": "success", "failed": "danger"})
    def answered(self, probe: Probe) -> tuple[str, str]:
        return ("ok", "answered") if probe.is_ok else ("failed", "failed")

    @admin.display(description="took", ordering="latency_ms", empty_value="–")
    def latency(self, probe: Probe) -> str | None:
        return None if probe.latency_ms is None else f"{probe.latency_ms:,} ms"
