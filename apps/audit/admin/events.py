"""The pages of the trail."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

from apps.audit import checkpoints, export, search
from apps.audit.admin import detail, filters
from apps.audit.models import AuditCheckpoint, AuditEvent, AuditHead


class EventList(ChangeList):
    """One page of events with the names of their teams, which one query brings for all."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        events: list[Any] = list(self.result_list)
        teams = apps.get_model("accounts", "team")._default_manager
        ids = {event.team_id for event in events if event.team_id is not None}
        names = dict(teams.filter(pk__in=ids).values_list("pk", "name")) if ids else {}
        for event in events:
            event.team_name = names.get(event.team_id, f"team {event.team_id}")
        self.result_list = events


@admin.register(AuditEvent)
class AuditEventAdmin(ModelAdmin):
    """Who did what, and when. Nobody adds, changes or removes an event."""

    list_display = ("when", "what", "who", "on", "team", "address", "of_request")
    list_display_links = ("when",)
    list_filter = (
        filters.SpanFilter,
        filters.TopicFilter,
        filters.KindFilter,
        filters.TeamFilter,
        ("at", RangeDateTimeFilter),
    )
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50
    list_max_show_all = 50
    list_before_template = "audit/banner.html"
    search_fields = ("request_id",)
    search_help_text = (
        "The beginning of an actor's or a target's name, or a whole request id; capitals count."
    )
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ("when",)
    ordering = ("-id",)
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[EventList]:
        return EventList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        return search.matching(queryset, search_term), False

    def get_urls(self) -> list[URLPattern]:
        taken = path(
            "export/<str:form>/",
            self.admin_site.admin_view(self.export_view),
            name="audit_auditevent_export",
        )
        return [taken, *super().get_urls()]

    def export_view(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """The events that the list shows, with the same filters and search, in a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if form not in export.FORMS:
            raise Http404
        chosen = self.get_changelist_instance(request).get_queryset(request)
        kind: export.Form = "csv" if form == "csv" else "jsonl"
        return export.response(request, chosen, kind, request.GET.dict())

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "title": "Audit trail",
            "head": AuditHead.objects.filter(pk=1).first(),
            "whole": checkpoints.latest(AuditCheckpoint.Scope.WHOLE),
            "recent": checkpoints.latest(AuditCheckpoint.Scope.RECENT),
            "query": request.GET.urlencode(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Shown, never edited: what a form would send is not looked at."""
        if object_id is None:
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET"])
        event = self.get_object(request, object_id)
        if event is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, event):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {
            "title": f"Event {event.pk}",
            "subtitle": event.action,
            "opts": self.opts,
            "original": event,
            "media": self.media,
        }
        return TemplateResponse(request, "audit/event.html", context | detail.context_of(event))

    @admin.display(description="time", ordering="id")
    def when(self, event: AuditEvent) -> str:
        return formats.date_format(timezone.localtime(event.at), "DATETIME_FORMAT")

    @admin.display(description="action")
    def what(self, event: AuditEvent) -> SafeString:
        return format_html('<code class="cv-mono">{}</code>', event.action)

    @display(description="actor", header=True)
    def who(self, event: AuditEvent) -> tuple[str, str]:
        return event.actor, event.actor_kind

    @admin.display(description="target")
    def on(self, event: AuditEvent) -> str | SafeString:
        kind, url = detail.kind_of(event), detail.target_url(event)
        if not event.target:
            return "–"
        under = format_html('<span class="cv-under">{}</span>', kind)
        if not url:
            return format_html('<span class="cv-break">{}</span>{}', event.target, under)
        return format_html('<a class="cv-link" href="{}">{}</a>{}', url, event.target, under)

    @admin.display(description="team")
    def team(self, event: Any) -> str:
        return "–" if event.team_id is None else event.team_name

    @admin.display(description="request")
    def of_request(self, event: AuditEvent) -> str | SafeString:
        if not event.request_id:
            return "–"
        return format_html(
            '<a class="cv-link cv-mono" href="?q={}" title="{}">…{}</a>',
            event.request_id,
            event.request_id,
            event.request_id[-8:],
        )
