from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.decorators import display

from apps.usage.admin.read_only import ReadOnlyAdmin
from apps.usage.figures import size_text
from apps.usage.journal_health import journal_health
from apps.usage.models import JournalCursor


@admin.register(JournalCursor)
class JournalAdmin(ReadOnlyAdmin):
    """How far the gateways' journals are in the database, segment by segment."""

    list_display = ("segment", "shipped", "state", "torn", "bad_records", "updated_at")
    list_filter = ("is_finished",)
    list_display_links = None
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_before_template = "usage/journal.html"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "title": "Journal",
            "health": journal_health(settings.CHATVAULT.journal_dir),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    @admin.display(description="in the database", ordering="offset")
    def shipped(self, cursor: JournalCursor) -> str:
        return size_text(cursor.offset)

    @display(
        description="state",
        ordering="is_finished",
        label={"done": "success", "open": "info"},
    )
    def state(self, cursor: JournalCursor) -> tuple[str, str]:
        return ("done", "finished") if cursor.is_finished else ("open", "being read")

    @admin.display(description="torn by a crash", ordering="torn_bytes")
    def torn(self, cursor: JournalCursor) -> str:
        return size_text(cursor.torn_bytes)
