from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display
from unfold.views import ChangeList

from apps.accounts.admin.limited import Limited
from apps.audit.admin_log import AuditedAdmin
from apps.usage import error_states, error_trend
from apps.usage.admin import error_detail, error_filters
from apps.usage.figures import count_text, instant_text
from apps.usage.models import ErrorGroup


class ErrorList(ChangeList):
    """One page of errors with their trends, which one query brings for all."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        groups: list[Any] = list(self.result_list)
        trends = error_trend.hourly([group.pk for group in groups])
        for group in groups:
            group.trend = trends[group.pk]
        self.result_list = groups


@admin.register(ErrorGroup)
class ErrorGroupAdmin(AuditedAdmin, Limited, ModelAdmin):
    """What failed and what was refused, by code, deployment and client. Nobody edits them; who may
    change errors says that they are known or mended."""

    list_display = ("what", "where", "state_label", "how_often", "trend", "seen")
    list_display_links = ("what",)
    list_filter = (
        error_filters.StateFilter,
        error_filters.KindFilter,
        error_filters.CodeFilter,
        error_filters.DeploymentFilter,
        error_filters.ClientFilter,
        error_filters.SpanFilter,
        ("first_seen", RangeDateTimeFilter),
    )
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("code", "place", "deployment_name", "client_name", "last_detail")
    search_help_text = "A code or class, a place, a deployment, a client or what was told."
    actions = ("acknowledge", "resolve", "open_again")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ErrorList]:
        return ErrorList

    def get_urls(self) -> list[URLPattern]:
        state = path(
            "<int:number>/state/<str:state>/",
            self.admin_site.admin_view(self.state_view),
            name="usage_errorgroup_state",
        )
        return [state, *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Shown, never edited: what a form would send is not looked at."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        group = self.get_object(request, object_id) if object_id else None
        if group is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, group):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {
            "title": "Error",
            "subtitle": str(group),
            "opts": self.opts,
            "original": group,
            "media": self.media,
            "may_change": self.has_change_permission(request, group),
        }
        return TemplateResponse(
            request, "usage/error.html", context | error_detail.context_of(group, request.user)
        )

    def state_view(self, request: HttpRequest, number: int, state: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        if state not in ErrorGroup.State.values:
            raise Http404
        self._set(request, [number], ErrorGroup.State(state))
        return redirect("admin:usage_errorgroup_change", number)

    @admin.action(description="Acknowledge: somebody looks after them", permissions=["change"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> None:
        self._set(request, _numbers(queryset), ErrorGroup.State.ACKNOWLEDGED)

    @admin.action(description="Resolve: open again when they come back", permissions=["change"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> None:
        self._set(request, _numbers(queryset), ErrorGroup.State.RESOLVED)

    @admin.action(description="Open again", permissions=["change"])
    def open_again(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> None:
        self._set(request, _numbers(queryset), ErrorGroup.State.OPEN)

    def _set(self, request: HttpRequest, numbers: list[int], state: ErrorGroup.State) -> None:
        actor: Any = request.user
        count = error_states.set_state(numbers=numbers, state=state, actor=actor)
        self.message_user(request, f"{count} {'error is' if count == 1 else 'errors are'} {state}.")

    @display(description="code, kind", header=True, ordering="code")
    def what(self, group: ErrorGroup) -> tuple[str, str]:
        return group.code or "(no code)", group.get_kind_display()

    @display(description="deployment, client", header=True)
    def where(self, group: ErrorGroup) -> tuple[str, str]:
        if group.kind == ErrorGroup.Kind.FAULT:
            return group.place, ""
        return error_detail.deployment_of(group) or "–", error_detail.client_of(group)

    @admin.display(description="count", ordering="count")
    def how_often(self, group: ErrorGroup) -> str:
        return count_text(group.count)

    @admin.display(description="last 24 hours")
    def trend(self, group: ErrorGroup) -> str:
        return error_trend.chart(group.trend)  # type: ignore[attr-defined]

    @display(description="last seen, first seen", header=True, ordering="last_seen")
    def seen(self, group: ErrorGroup) -> tuple[str, str]:
        return instant_text(group.last_seen), f"since {instant_text(group.first_seen)}"

    @display(
        description="state",
        ordering="state",
        label={
            ErrorGroup.State.OPEN: "danger",
            ErrorGroup.State.ACKNOWLEDGED: "info",
            ErrorGroup.State.RESOLVED: "success",
        },
    )
    def state_label(self, group: ErrorGroup) -> tuple[str, str]:
        came_back = group.state == ErrorGroup.State.OPEN and group.reopened
        return group.state, "came back" if came_back else group.get_state_display()


def _numbers(queryset: QuerySet[ErrorGroup]) -> list[int]:
    return list(queryset.values_list("pk", flat=True))
