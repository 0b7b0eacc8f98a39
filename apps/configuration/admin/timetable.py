"""When jobs are due: django-celery-beat's rows, in the theme and with what the file leaves open."""

from __future__ import annotations

from datetime import time
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTimeWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.audit.admin_log import AuditedAdmin
from apps.configuration import timetable
from apps.configuration.admin.job_runs import duration_text
from apps.configuration.models import JobRun, ScheduledJob
from chatvault.lib.timetable import Daily, Every, When

_UNITS: Final = {"minutes": 60, "hours": 3_600, "days": 86_400}
_BEST_UNIT: Final = tuple(reversed(_UNITS.items()))

for _model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule, PeriodicTask):
    if admin.site.is_registered(_model):  # several jobs share a row of times: nobody edits those
        admin.site.unregister(_model)


class TimetableForm(forms.ModelForm):
    """An interval or a time of day; everything else is the file's."""

    every = forms.IntegerField(
        min_value=1,
        max_value=1000,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="The job starts again after so many minutes, hours or days.",
    )
    unit = forms.ChoiceField(
        choices=[(unit, unit) for unit in _UNITS],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="What the number above counts.",
    )
    at = forms.TimeField(
        required=False,
        input_formats=["%H:%M", "%H:%M:%S"],
        widget=UnfoldAdminTimeWidget(format="%H:%M"),
        label="daily at",
        help_text="Hour and minute in UTC, such as 03:10, instead of an interval.",
    )

    class Meta:
        model = ScheduledJob
        fields = ("enabled",)
        widgets: ClassVar[dict[str, Any]] = {"enabled": UnfoldBooleanSwitchWidget}
        help_texts: ClassVar[dict[str, str]] = {
            "enabled": "A paused job does not start by itself; it can still be run now."
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        when = timetable.when_of(self.instance) if self.instance.pk else None
        if isinstance(when, Every):
            unit, size = next(
                ((u, s) for u, s in _BEST_UNIT if when.seconds % s == 0), ("minutes", 60)
            )
            self.initial.update(every=max(1, when.seconds // size), unit=unit)
        elif when is not None:
            self.initial["at"] = time(when.hour, when.minute)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and bool(cleaned.get("every")) == (cleaned.get("at") is not None):
            raise forms.ValidationError("Give either an interval or a time of day.")
        return cleaned

    @property
    def when(self) -> When:
        """What was entered, once the form is valid."""
        if at := self.cleaned_data.get("at"):
            return Daily(at.hour, at.minute)
        unit = self.cleaned_data.get("unit") or "minutes"
        return Every(self.cleaned_data["every"] * _UNITS[unit])


@admin.register(ScheduledJob)
class TimetableAdmin(AuditedAdmin, ModelAdmin):
    """Jobs of the file. None is added or deleted here."""

    form = TimetableForm
    list_display = ("job", "due", "last_run", "took_last", "sent", "state")
    list_filter = ("enabled",)
    list_select_related = ("interval", "crontab")
    search_fields = ("name", "description")
    ordering = ("name",)
    actions = ("run_selected", "restore_selected", "pause_selected", "continue_selected")
    actions_submit_line = ("run_one", "restore_one")
    fieldsets = (
        (None, {"fields": ("purpose", "enabled")}),
        ("When", {"fields": ("every", "unit", "at", "file_says")}),
    )
    readonly_fields = ("purpose", "file_says")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduledJob]:
        last = JobRun.objects.filter(name=OuterRef("name")).order_by("-pk")
        rows: QuerySet[ScheduledJob] = super().get_queryset(request)
        return rows.annotate(
            last_state=Subquery(last.values("state")[:1]),
            last_begin=Subquery(last.values("started_at")[:1]),
            last_end=Subquery(last.values("finished_at")[:1]),
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        timetable.place(obj, form.when)
        super().save_model(request, obj, form, change)

    @admin.display(description="job", ordering="name")
    def job(self, row: ScheduledJob) -> SafeString:
        return format_html('{}<span class="cv-under">{}</span>', row.name, row.description)

    @admin.display(description="due")
    def due(self, row: ScheduledJob) -> SafeString:
        return format_html('{}<span class="cv-under">{}</span>', _when_text(row), _other(row))

    @display(
        description="last run",
        label={"done": "success", "failed": "danger", "lost": "warning", "never": ""},
    )
    def last_run(self, row: Any) -> tuple[str, str]:
        if row.expire_seconds is not None:
            return "never", "leaves no rows"
        if row.last_state is None:
            return "never", "none yet"
        return row.last_state, JobRun.State(row.last_state).label

    @admin.display(description="took", empty_value="–")
    def took_last(self, row: Any) -> str | None:
        if row.last_begin is None or row.last_end is None:
            return None
        return duration_text(row.last_end - row.last_begin)

    @admin.display(description="last due", ordering="last_run_at", empty_value="–")
    def sent(self, row: ScheduledJob) -> Any:
        return row.last_run_at

    @display(description="state", ordering="enabled", label={"on": "success", "paused": "warning"})
    def state(self, row: ScheduledJob) -> tuple[str, str]:
        return ("on", "on") if row.enabled else ("paused", "paused")

    @admin.display(description="what it does")
    def purpose(self, row: ScheduledJob) -> str:
        return row.description

    @admin.display(description="the file says")
    def file_says(self, row: ScheduledJob) -> str:
        return str(timetable.default_of(row) or "–")

    @admin.action(description="Run now", permissions=["change"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[ScheduledJob]) -> None:
        for row in queryset:
            self._run(request, row)

    @admin.action(description="Back to the file's time", permissions=["change"])
    def restore_selected(self, request: HttpRequest, queryset: QuerySet[ScheduledJob]) -> None:
        count = sum(timetable.restore(row=row) for row in queryset)
        messages.success(request, f"{count} jobs are as the file says again.")

    @admin.action(description="Pause", permissions=["change"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[ScheduledJob]) -> None:
        count = sum(timetable.pause(row=row, is_paused=True) for row in queryset)
        messages.success(request, f"{count} jobs paused.")

    @admin.action(description="Continue", permissions=["change"])
    def continue_selected(self, request: HttpRequest, queryset: QuerySet[ScheduledJob]) -> None:
        count = sum(timetable.pause(row=row, is_paused=False) for row in queryset)
        messages.success(request, f"{count} jobs continue.")

    @action(description="Save and run now", permissions=["change"])
    def run_one(self, request: HttpRequest, obj: ScheduledJob) -> None:
        self._run(request, obj)

    @action(description="Back to the file's time", permissions=["change"])
    def restore_one(self, request: HttpRequest, obj: ScheduledJob) -> None:
        timetable.restore(row=obj)

    def _run(self, request: HttpRequest, row: ScheduledJob) -> None:
        if timetable.run_now(row=row):
            messages.success(request, f"{row.name} waits for a worker.")
        else:
            messages.info(request, f"{row.name} waits for a worker already.")


def _when_text(row: ScheduledJob) -> str:
    return str(timetable.when_of(row) or row.scheduler or "never")


def _other(row: ScheduledJob) -> str:
    return f"the file: {timetable.default_of(row)}" if timetable.is_changed(row) else ""
