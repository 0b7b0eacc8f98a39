"""What background jobs did and do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from apps.configuration.models import JobRun
from chatvault.lib.label import Label

_COLOURS: Final = {
    JobRun.State.QUEUED: "",
    JobRun.State.RUNNING: "info",
    JobRun.State.DONE: "success",
    JobRun.State.FAILED: "danger",
    JobRun.State.LOST: "warning",
}


@admin.register(JobRun)
class JobRunAdmin(ModelAdmin):
    """Runs write themselves; nobody edits them."""

    list_display = ("name", "state_label", "progress", "started", "duration", "try_number", "error")
    list_filter = ("state", "name", ("created_at", RangeDateTimeFilter))
    list_filter_submit = True
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name", "error_class", "error_message", "correlation_id")
    search_help_text = "A job's name, an error's words, or the id of a request"
    actions = None
    fieldsets = (
        (None, {"fields": ("name", "state_label", "progress", "arguments")}),
        ("When", {"fields": ("created_at", "started_at", "heartbeat_at", "finished_at")}),
        ("Who", {"fields": ("worker", "attempt", "correlation_id")}),
        ("Error", {"fields": ("error_class", "error_message")}),
    )
    readonly_fields = ("state_label", "progress")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobRun]:
        rows: QuerySet[JobRun] = super().get_queryset(request)
        return rows

    @display(description="state", ordering="state", label=_COLOURS)
    def state_label(self, run: JobRun) -> Label:
        return Label(run.state, run.get_state_display())

    @admin.display(description="progress")
    def progress(self, run: JobRun) -> str | SafeString:
        """A bar where the whole is known."""
        if run.total is None:
            return f"{run.done:,} {run.unit}" if run.done else "–"
        words = f"{run.done:,} of {run.total:,} {run.unit}".strip()
        return format_html(
            '<div class="cv-progress" role="img" aria-label="{}"><i class="cv-w{}"></i></div>'
            '<span class="cv-under">{}</span>',
            words,
            run.percent,
            words,
        )

    @admin.display(description="started", ordering="started_at")
    def started(self, run: JobRun) -> Any:
        return run.started_at

    @admin.display(description="took")
    def duration(self, run: JobRun) -> str:
        return duration_text(run.took)

    @admin.display(description="attempt", ordering="attempt")
    def try_number(self, run: JobRun) -> int:
        return run.attempt

    @admin.display(description="error", ordering="error_class")
    def error(self, run: JobRun) -> str:
        if not run.error_class:
            return ""
        message = run.error_message
        short = message if len(message) <= 120 else f"{message[:119]}…"
        return f"{run.error_class}: {short}" if short else run.error_class


def duration_text(took: timedelta | None) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`, `2 h 4 min`; a dash when it did not start."""
    if took is None:
        return "–"
    seconds = took.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
