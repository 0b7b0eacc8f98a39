"""/api/v1/usage: single requests."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.rows import REFUSALS, caller_of
from apps.usage.api.access import OwnUsage
from apps.usage.api.asked import FilterSerializer, refusal
from apps.usage.models import RequestLog
from apps.usage.reports.listing import narrowed, page_at
from apps.usage.reports.query import BadQuery
from apps.usage.reports.scopes import scope_of
from apps.usage.reports.seek import Asked
from chatvault.lib import replica
from chatvault.lib.money import usd_from_nano

MOST: int = 500
_OF_PAGES = ("cursor", "page_size")


class RowFilterSerializer(FilterSerializer):
    ordering = serializers.ChoiceField(
        choices=["-started_at", "started_at"], default="-started_at", help_text="By time."
    )
    limit = serializers.IntegerField(
        min_value=1, max_value=MOST, required=False, help_text="Instead of a cursor: so many rows,"
    )
    offset = serializers.IntegerField(
        min_value=0, max_value=10**9, required=False, help_text="after so many others."
    )


class _Money(serializers.IntegerField):
    def to_representation(self, value: Any) -> Any:
        return f"{usd_from_nano(value):.9f}"


class RequestSerializer(serializers.ModelSerializer[RequestLog]):
    """Neither prompts nor answers: there are none."""

    team = serializers.CharField(source="team_name")
    client = serializers.CharField(source="client_name")
    key = serializers.CharField(source="key_name")
    user = serializers.CharField(source="user_name")
    deployment = serializers.CharField(source="deployment_name")
    provider = serializers.CharField(source="provider_name")
    stream = serializers.BooleanField(source="is_stream")
    status = serializers.IntegerField(source="http_status")
    cost = _Money(source="cost_nano", help_text="USD, exact.")
    charged = _Money(source="charged_nano", help_text="USD, exact, before adjustments.")
    upper_bound = _Money(source="upper_bound_nano", allow_null=True)

    tags = serializers.DictField(child=serializers.CharField(), allow_null=True)

    class Meta:
        model = RequestLog
        fields = (
            "request_id", "started_at", "team_id", "team", "client_id", "client", "key_id", "key",
            "user_id", "user", "application_id", "alias", "deployment_id", "deployment",
            "provider_id", "provider", "operation", "stream", "outcome", "status", "error_code",
            "error_detail", "usage_source", "service_tier", "cache_status", "experiment_arm",
            "tags", "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens",
            "cache_write_1h_tokens", "reasoning_tokens", "audio_input_tokens",
            "audio_output_tokens", "image_input_tokens", "image_output_tokens", "images",
            "duration_ms", "searches", "cost", "charged", "upper_bound", "price_id", "tier_id",
            "terms_id", "markup_ppm", "revision", "latency_ms", "first_token_ms", "attempts",
        )  # fmt: skip


class RowPages(CursorPagination):
    """By time and number, so that requests of one instant are in an order."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = MOST
    ordering = ("-started_at", "-id")


@method_decorator(replica.tolerant, name="dispatch")
class RowsView(OwnUsage, generics.ListAPIView[RequestLog]):
    """Requests, the newest first. Follow `next` for a list that new rows do not shift; `limit` and
    `offset` jump anywhere and tell how many there are."""

    serializer_class = RequestSerializer
    pagination_class = RowPages
    filter_backends = ()
    queryset = RequestLog.objects.none()

    @extend_schema(
        operation_id="listUsage",
        tags=["Usage"],
        summary="Single requests with tokens, money and latency",
        parameters=[RowFilterSerializer],
        responses={200: RequestSerializer(many=True), **REFUSALS},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        params = request.query_params.copy()
        for name in _OF_PAGES:
            params.pop(name, None)
        query = RowFilterSerializer.of(params)
        asked = _asked(query, request)
        if "limit" in query.validated_data or "offset" in query.validated_data:
            return self._jumped(asked, query.validated_data)
        rows = narrowed(RequestLog.objects.all(), asked.filters, asked.scope)
        if asked.start is not None:
            rows = rows.filter(started_at__gte=asked.start)
        if asked.end is not None:
            rows = rows.filter(started_at__lt=asked.end)
        return self._paged(rows, query.validated_data["ordering"])

    def _paged(self, rows: QuerySet[RequestLog], ordering: str) -> Response:
        assert self.paginator is not None
        sign = "-" if ordering.startswith("-") else ""
        self.paginator.ordering = (f"{sign}started_at", f"{sign}id")  # type: ignore[attr-defined]
        self.paginator.get_ordering = lambda *_: self.paginator.ordering  # type: ignore
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def _jumped(self, asked: Asked, given: dict[str, Any]) -> Response:
        count = given.get("limit", RowPages.page_size)
        rows, total = page_at(asked, offset=given.get("offset", 0), count=count)
        return Response({"count": total, "results": self.get_serializer(rows, many=True).data})


def _asked(query: RowFilterSerializer, request: Request) -> Asked:
    """Without a start or an end: all that there is. Raises ValidationError."""
    given = query.validated_data
    try:
        start, end = query.span()
    except BadQuery as bad:
        raise refusal(bad) from None
    if "start" in given and end <= start:
        raise refusal(BadQuery("end", "The end must be after the start."))
    return Asked(
        filters=query.filters(),
        scope=scope_of(caller_of(request)),
        start=start if "start" in given else None,
        end=end if "end" in given else None,
        newest_first=given["ordering"] == "-started_at",
    )
