"""/api/v1/usage/export and /api/v1/usage/exports"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from apps.accounts.api.rows import REFUSALS, caller_of
from apps.usage import exports
from apps.usage.api.access import OwnUsage
from apps.usage.api.asked import FilterSerializer, refusal
from apps.usage.export_files import download, stream
from apps.usage.models import UsageExport
from apps.usage.reports.exporting.files import FORMATS
from apps.usage.reports.exporting.slices import Wanted
from apps.usage.reports.query import BadQuery
from apps.usage.reports.scopes import scope_of
from chatvault.lib.errors import Conflict


class ExportFileSerializer(FilterSerializer):
    format = serializers.ChoiceField(choices=sorted(FORMATS), default="csv")

    def wanted(self, request: Request) -> Wanted:
        """Raises ValidationError that names the parameter."""
        try:
            start, end = self.span()
            if end <= start:
                raise BadQuery("end", "The end must be after the start.")
        except BadQuery as bad:
            raise refusal(bad) from None
        return Wanted(start, end, self.filters(), scope_of(caller_of(request)))


class AsAsked(BaseContentNegotiation):
    """`format` is that of the file; refusals are JSON."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class UsageExportSerializer(serializers.ModelSerializer[UsageExport]):
    percent = serializers.IntegerField(source="share", help_text="How much is done.")
    download = serializers.SerializerMethodField(help_text="null: it is not done.")

    class Meta:
        model = UsageExport
        fields = (
            "id", "format", "starts_at", "ends_at", "filters", "state", "percent", "days_done",
            "days_total", "rows", "size_bytes", "sha256", "problem", "created_at", "finished_at",
            "expires_at", "download",
        )  # fmt: skip
        read_only_fields = fields

    def get_download(self, row: UsageExport) -> str | None:
        if row.state != UsageExport.State.DONE:
            return None
        return reverse("usage-export-download", [row.pk], request=self.context.get("request"))


class ExportView(OwnUsage, APIView):
    """Requests as a file that is made while it is read."""

    content_negotiation_class = AsAsked

    @extend_schema(
        operation_id="exportUsage",
        tags=["Usage"],
        summary="Requests as a file: CSV, JSON, Parquet or FOCUS",
        parameters=[ExportFileSerializer],
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR),
            (200, "application/json"): OpenApiResponse(OpenApiTypes.STR),
            (200, "application/vnd.apache.parquet"): OpenApiResponse(OpenApiTypes.BINARY),
            **REFUSALS,
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        asked = ExportFileSerializer.of(request.query_params)
        wanted = asked.wanted(request)
        return stream(request._request, wanted, FORMATS[asked.validated_data["format"]])


class ExportsView(OwnUsage, generics.ListAPIView[UsageExport]):
    """Exports that are made in the background, for large spans: one's own."""

    serializer_class = UsageExportSerializer
    queryset = UsageExport.objects.none()
    filter_backends = ()
    methods_for_all = ("GET", "POST")

    def get_queryset(self) -> QuerySet[UsageExport]:
        found: QuerySet[UsageExport] = exports.own(caller_of(self.request)).order_by("-pk")
        return found

    @extend_schema(
        operation_id="listUsageExports", tags=["Usage"], summary="Exports that one asked for"
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.list(request, *args, **kwargs)

    @extend_schema(
        operation_id="askUsageExport",
        tags=["Usage"],
        summary="Have a file made in the background",
        request=ExportFileSerializer,
        responses={202: UsageExportSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        asked = ExportFileSerializer(data=_listed(request.data))
        asked.is_valid(raise_exception=True)
        wanted = asked.wanted(request)
        try:
            row = exports.ask(
                caller_of(request),
                form=asked.validated_data["format"],
                start=wanted.start,
                end=wanted.end,
                filters=wanted.filters,
                scope=wanted.scope,
            )
        except BadQuery as bad:
            raise refusal(bad) from None
        shown = UsageExportSerializer(row, context={"request": request})
        return Response(shown.data, status=202)


class _One(OwnUsage, APIView):
    def row(self, request: Request, pk: int) -> UsageExport:
        """Raises NotFound for one of somebody else, and when its teams may not be seen now."""
        who = caller_of(request)
        row: UsageExport | None = exports.own(who).filter(pk=pk).first()
        if row is None or not exports.may_read(row, scope_of(who)):
            raise NotFound
        return row


class OneExportView(_One):
    methods_for_all = ("GET", "DELETE")

    @extend_schema(
        operation_id="getUsageExport",
        tags=["Usage"],
        summary="How far an export is",
        responses={200: UsageExportSerializer, **REFUSALS},
    )
    def get(self, request: Request, pk: int) -> Response:
        row = self.row(request, pk)
        return Response(UsageExportSerializer(row, context={"request": request}).data)

    @extend_schema(
        operation_id="deleteUsageExport",
        tags=["Usage"],
        summary="Remove an export and its file",
        responses={204: None, **REFUSALS},
    )
    def delete(self, request: Request, pk: int) -> Response:
        exports.remove(self.row(request, pk))
        return Response(status=204)


class DownloadView(_One):
    @extend_schema(
        operation_id="downloadUsageExport",
        tags=["Usage"],
        summary="The file of an export, or a part of it by a Range header",
        parameters=[OpenApiParameter("Range", str, OpenApiParameter.HEADER)],
        responses={
            (200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY),
            (206, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY),
            409: OpenApiResponse(description="It is not done."),
            416: OpenApiResponse(description="The file has no such range."),
            **REFUSALS,
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        row = self.row(request, pk)
        if row.state != UsageExport.State.DONE:
            raise Conflict(f"The export is {row.state}: there is no file.")
        try:
            return download(request._request, row)
        except FileNotFoundError:
            raise NotFound("The file is not on this machine.") from None


def _listed(data: Any) -> Any:
    """Filters may be given as one value or as a list."""
    if not isinstance(data, dict):
        return data
    return {
        name: [str(each) for each in value] if isinstance(value, list) else value
        for name, value in data.items()
    }
