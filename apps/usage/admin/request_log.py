from __future__ import annotations

import re
import uuid
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from apps.billing.words import short_usd
from apps.usage.admin import adjusting, filters, request_detail
from apps.usage.admin.paging import LogList, SeekPaginator, asked_of
from apps.usage.admin.rate_limits import rate_limits_page
from apps.usage.admin.read_only import ReadOnlyAdmin
from apps.usage.admin.refusals import refusals_page
from apps.usage.dashboards.page import spending_csv, spending_page
from apps.usage.figures import count_text, instant_text, milliseconds
from apps.usage.models import RequestLog
from apps.usage.reports.query import BadQuery
from chatvault.lib import replica

_HEX = re.compile(r"[0-9a-f]{1,32}")


@admin.register(RequestLog)
class RequestLogAdmin(ReadOnlyAdmin):
    """Every request with its tokens, cost and latency. There are no prompts and no answers.

    A list page never counts the rows and never goes by the names that it shows.
    """

    list_display = (
        "started",
        "who",
        "route",
        "state",
        "tagged",
        "in_tokens",
        "out_tokens",
        "money",
        "latency",
    )
    list_display_links = ("started",)
    list_filter = (
        filters.SpanFilter,
        filters.TeamFilter,
        filters.ClientFilter,
        filters.KeyFilter,
        filters.AliasFilter,
        filters.DeploymentFilter,
        filters.ProviderFilter,
        filters.UserFilter,
        filters.TagFilter,
        filters.OutcomeFilter,
        filters.StatusFilter,
        ("started_at", RangeDateTimeFilter),
    )
    list_filter_submit = True
    list_fullwidth = True
    list_per_page = 50
    list_max_show_all = 50
    search_fields = ("request_id",)
    search_help_text = "The request id, or how it begins: clients get it as x-request-id."
    paginator = SeekPaginator
    list_before_template = "usage/log_export.html"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ("started",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RequestLog], search_term: str
    ) -> tuple[QuerySet[RequestLog], bool]:
        """By the beginning of the id, as a range of the unique index."""
        if not search_term.strip():
            return queryset, False
        text = search_term.strip().lower().replace("-", "")
        if not _HEX.fullmatch(text):
            return queryset.none(), False
        first, last = uuid.UUID(text.ljust(32, "0")), uuid.UUID(text.ljust(32, "f"))
        return queryset.filter(request_id__gte=first, request_id__lte=last), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[LogList]:
        return LogList

    def get_paginator(
        self, request: HttpRequest, queryset: Any, per_page: int, *_: Any, **__: Any
    ) -> SeekPaginator:
        return SeekPaginator(queryset, per_page, asked=asked_of(request, queryset))

    def get_urls(self) -> list[URLPattern]:
        refusals = path(
            "refusals/", self.admin_site.admin_view(self.refusals_view), name="usage_refusals"
        )
        limits = path(
            "rate-limits/",
            self.admin_site.admin_view(self.rate_limits_view),
            name="usage_rate_limits",
        )
        spending = path(
            "spending/", self.admin_site.admin_view(self.spending_view), name="usage_spending"
        )
        adjust = path(
            "<path:object_id>/adjust/",
            self.admin_site.admin_view(self.adjust_view),
            name="usage_requestlog_adjust",
        )
        return [refusals, limits, spending, adjust, *super().get_urls()]

    def adjust_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Whoever may not see the row is told what a row that is not there tells."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        site = self.admin_site.each_context(request) | {"media": self.media, "opts": self.opts}
        return adjusting.adjust_page(request, row, site)

    @replica.tolerant
    def spending_view(self, request: HttpRequest) -> HttpResponse:
        """Sums of the rows that whoever asks may see."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.GET.get("format") == "csv":
            try:
                name, text = spending_csv(request)
            except BadQuery as bad:
                return HttpResponseBadRequest(bad.message, content_type="text/plain")
            headers = {"content-disposition": f'attachment; filename="{name}"'}
            return HttpResponse(text, content_type="text/csv; charset=utf-8", headers=headers)
        context = self.admin_site.each_context(request) | {"media": self.media}
        return TemplateResponse(request, "usage/spending.html", context | spending_page(request))

    def rate_limits_view(self, request: HttpRequest) -> HttpResponse:
        """For whoever may see quotas."""
        if not request.user.has_perm("billing.view_quota"):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {"media": self.media}
        page = context | rate_limits_page(request)
        return TemplateResponse(request, "usage/rate_limits.html", page)

    def refusals_view(self, request: HttpRequest) -> HttpResponse:
        """What was refused is no row of any table, but part of the same story."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {"media": self.media}
        return TemplateResponse(request, "usage/refusals.html", context | refusals_page(request))

    @replica.tolerant
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, extra_context)

    @replica.tolerant
    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {
            "title": "Request",
            "subtitle": str(row.request_id),
            "opts": self.opts,
            "original": row,
            "media": self.media,
            "may_adjust": adjusting.may_adjust(request.user),
        }
        return TemplateResponse(
            request, "usage/request.html", context | request_detail.context_of(row, request.user)
        )

    @admin.display(description="time", ordering="started_at")
    def started(self, row: RequestLog) -> str:
        return instant_text(row.started_at)

    @display(description="client, key", header=True)
    def who(self, row: RequestLog) -> tuple[str, str]:
        return row.client_name or f"client {row.client_id}", request_detail.credential_of(row)

    @display(description="model, deployment", header=True)
    def route(self, row: RequestLog) -> tuple[str, str]:
        return row.alias, row.deployment_name or "(none called)"

    @admin.display(description="status")
    def state(self, row: RequestLog) -> str:
        return format_html(
            '<span class="cv-badge cv-{}">{}</span> <span class="cv-under">{}</span>',
            row.outcome,
            row.http_status or row.get_outcome_display(),
            row.error_code,
        )

    @display(description="tags, service tier", header=True)
    def tagged(self, row: RequestLog) -> tuple[str, str]:
        return request_detail.tags_of(row) or "–", row.service_tier

    @admin.display(description="tokens in")
    def in_tokens(self, row: RequestLog) -> str:
        return count_text(row.input_tokens)

    @admin.display(description="out")
    def out_tokens(self, row: RequestLog) -> str:
        mark = "≈" if row.usage_source == RequestLog.UsageSource.ESTIMATED else ""
        return f"{mark}{count_text(row.output_tokens)}"

    @display(description="charged, cost", header=True)
    def money(self, row: RequestLog) -> tuple[str, str]:
        if not row.price_id:
            return "–", "unpriced"
        return short_usd(row.charged_nano), short_usd(row.cost_nano)

    @display(description="latency, first token", header=True)
    def latency(self, row: RequestLog) -> tuple[str, str]:
        first = row.first_token_ms
        return milliseconds(row.latency_ms), "" if first is None else milliseconds(first)
