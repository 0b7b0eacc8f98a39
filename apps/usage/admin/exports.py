"""Files of requests that are made in the background."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextInputWidget,
)

from apps.accounts import permissions
from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import Page
from apps.accounts.models import ApiKey, Client, Team
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.usage import exports
from apps.usage.export_files import download
from apps.usage.figures import instant_text, size_text
from apps.usage.models import RequestLog, UsageExport
from apps.usage.reports.query import BadQuery, Dimension, Value, zone_of
from apps.usage.reports.scopes import scope_of
from chatvault.lib import clock
from chatvault.lib.label import Label

D = Dimension
MOST_CHOICES = 500
_COLOURS = {"waiting": "", "running": "info", "done": "success", "failed": "danger"}
_FIELDS = ("format", "first_day", "last_day", "time_zone", *("team", "client", "key"),
           *("alias", "outcome", "tag"))  # fmt: skip


def _choice(model: Any) -> forms.ModelChoiceField:
    rows = model._default_manager.none()
    widget = UnfoldAdminSelectWidget()
    return forms.ModelChoiceField(rows, required=False, empty_label="All", widget=widget)


def _text(text: str) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget()
    return forms.CharField(required=False, max_length=150, help_text=text, widget=widget)


class ExportForm(forms.ModelForm):
    who: Principal

    first_day = forms.DateField(
        widget=UnfoldAdminSingleDateWidget(), help_text="Such as 2026-11-01. It is in the file."
    )
    last_day = forms.DateField(
        widget=UnfoldAdminSingleDateWidget(), help_text="It is in the file, too; 400 days at most."
    )
    time_zone = forms.CharField(
        initial="UTC",
        max_length=64,
        widget=UnfoldAdminTextInputWidget(),
        help_text="Whose midnights the days begin at, such as Europe/Berlin.",
    )
    team = _choice(Team)
    client = _choice(Client)
    key = _choice(ApiKey)
    alias = _text("The model as clients call it; empty: all.")
    outcome = forms.ChoiceField(
        required=False,
        choices=[("", "All"), *RequestLog.Outcome.choices],
        widget=UnfoldAdminSelectWidget(),
    )
    tag = _text("key=value; empty: all.")

    class Meta:
        model = UsageExport
        fields = ("format",)
        help_texts: ClassVar = {
            "format": "CSV for spreadsheets, Parquet for analysis, FOCUS for FinOps tools."
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, model in (("team", Team), ("client", Client), ("key", ApiKey)):
            field: Any = self.fields[name]
            rows = permissions.limit(model._default_manager.all(), self.who)
            field.queryset = rows.select_related("client") if model is ApiKey else rows

    def clean_tag(self) -> str:
        tag = str(self.cleaned_data["tag"])
        key, _, value = tag.partition("=")
        if tag and not (key and value):
            raise forms.ValidationError("A tag is written key=value, such as project=atlas.")
        return tag

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        try:
            zone = zone_of(str(given.get("time_zone", "UTC")))
        except BadQuery as bad:
            raise forms.ValidationError({"time_zone": bad.message}) from None
        first, last = given.get("first_day"), given.get("last_day")
        if first and last:
            if last < first:
                raise forms.ValidationError({"last_day": "It must not be before the first day."})
            if last - first > exports.LONGEST:
                raise forms.ValidationError({"last_day": "An export spans 400 days at most."})
            given["span"] = tuple(
                datetime.combine(day, time(), zone).astimezone(UTC)
                for day in (first, last + timedelta(days=1))
            )
        if exports.own(self.who).unfinished().count() >= exports.MOST_UNFINISHED:
            raise forms.ValidationError("Your exports are still being made: wait for one to end.")
        return given

    def filters(self) -> dict[Dimension, tuple[Value, ...]]:
        given = self.cleaned_data
        found: dict[Dimension, tuple[Value, ...]] = {
            dimension: (given[dimension.value].pk,)
            for dimension in (D.TEAM, D.CLIENT, D.KEY)
            if given.get(dimension.value)
        }
        for dimension in (D.ALIAS, D.OUTCOME, D.TAG):
            if given.get(dimension.value):
                found[dimension] = (given[dimension.value],)
        return found


@admin.register(UsageExport)
class UsageExportAdmin(Page):
    """One's own exports; whoever may read all usage sees everybody's."""

    form = ExportForm
    list_display = ("what", "state_label", "progress", "rows_told", "file", "author_name", "until")
    list_filter = ("state", "format")
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    add_fieldsets = ((None, {"fields": _FIELDS}),)
    readonly_fields = ("what", "state_label", "progress", "rows_told", "file", "until")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.add_fieldsets if obj is None else ((None, {"fields": self.readonly_fields}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.readonly_fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever sees everybody's removes their own, unless they may do everything."""
        if not super().has_delete_permission(request, obj):
            return False
        return obj is None or self._own(request).filter(pk=getattr(obj, "pk", obj)).exists()

    def _own(self, request: HttpRequest) -> QuerySet[UsageExport]:
        who = asking(request)
        found: QuerySet[UsageExport] = (
            UsageExport.objects.all() if who.is_owner else exports.own(who)
        )
        return found

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageExport]:
        who = asking(request)
        if who.may(Capability.USAGE_READ):
            return UsageExport.objects.order_by("-pk")
        found: QuerySet[UsageExport] = exports.own(who).order_by("-pk")
        return found

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs | {"fields": ("format",)})
        form.who = asking(request)
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """The filters of the request log that one comes from."""
        today = clock.now().date()
        spans = {"1h": 0, "24h": 1, "7d": 7, "today": 0}
        first = today - timedelta(days=spans.get(request.GET.get("span", ""), 30))
        given: dict[str, Any] = {"first_day": first, "last_day": today, "time_zone": "UTC"}
        for name in ("team", "client", "key", "alias", "outcome", "tag"):
            if value := request.GET.get(name):
                given[name] = value
        return given

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        who = asking(request)
        start, end = form.cleaned_data["span"]
        row = exports.ask(
            who,
            form=form.cleaned_data["format"],
            start=start,
            end=end,
            filters=form.filters(),
            scope=scope_of(who),
        )
        for field in row._meta.concrete_fields:
            setattr(obj, field.attname, getattr(row, field.attname))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        exports.remove(obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for row in queryset.filter(pk__in=self._own(request).values("pk")):
            exports.remove(row)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.download_view)
        return [
            path("<int:pk>/download/", view, name="usage_usageexport_download"),
            *super().get_urls(),
        ]

    def download_view(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """The file of an export whose teams one may still see."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_queryset(request).filter(pk=pk, state=UsageExport.State.DONE).first()
        if row is None or not exports.may_read(row, scope_of(asking(request))):
            raise Http404
        try:
            return download(request, row)
        except FileNotFoundError:
            raise Http404("The file is not on this machine.") from None

    @admin.display(description="export")
    def what(self, row: UsageExport) -> str:
        return str(row)

    @display(description="state", ordering="state", label=_COLOURS)
    def state_label(self, row: UsageExport) -> Label:
        return Label(row.state, row.get_state_display())

    @admin.display(description="progress")
    def progress(self, row: UsageExport) -> str:
        words = f"{row.days_done:,} of {row.days_total:,} days"
        return format_html(
            '<div class="cv-progress" role="img" aria-label="{}"><i class="cv-w{}"></i></div>'
            '<span class="cv-under">{}</span>',
            words,
            row.share,
            words,
        )

    @admin.display(description="requests")
    def rows_told(self, row: UsageExport) -> str:
        return f"{row.rows:,}" if row.state == UsageExport.State.DONE else "–"

    @admin.display(description="file")
    def file(self, row: UsageExport) -> str:
        if row.state != UsageExport.State.DONE:
            return row.problem or "–"
        url = reverse("admin:usage_usageexport_download", args=[row.pk])
        size = size_text(row.size_bytes)
        return format_html('<a class="cv-link" href="{}" download>Download</a>, {}', url, size)

    @admin.display(description="kept until", ordering="expires_at")
    def until(self, row: UsageExport) -> str:
        return instant_text(row.expires_at)
