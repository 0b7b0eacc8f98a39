"""/api/v1/statements"""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.fields import StrictSerializer
from apps.accounts.api.rows import REFUSALS, Rows, caller_of
from apps.accounts.models import Client, Team
from apps.accounts.roles import Capability
from apps.audit import trail
from apps.configuration import job_queue
from apps.invoicing import files, months, statements
from apps.invoicing.models import Statement, StatementLine
from apps.invoicing.models.rates import currency_validator
from apps.invoicing.permissions import may_see_margins
from chatvault.lib.money import usd_from_nano


class StatementLineSerializer(serializers.ModelSerializer[StatementLine]):
    charged_usd = serializers.SerializerMethodField()
    adjusted_usd = serializers.SerializerMethodField()
    credited_usd = serializers.SerializerMethodField()
    total_usd = serializers.SerializerMethodField()
    cost_usd = serializers.SerializerMethodField(help_text="null for who may not see margins.")

    class Meta:
        model = StatementLine
        fields = (
            "client_id", "client_name", "model", "requests", "input_tokens", "output_tokens",
            "charged_usd", "adjusted_usd", "credited_usd", "total_usd", "cost_usd",
        )  # fmt: skip

    def get_charged_usd(self, row: StatementLine) -> str:
        return _text(row.charged_nano)

    def get_adjusted_usd(self, row: StatementLine) -> str:
        return _text(row.adjusted_nano)

    def get_credited_usd(self, row: StatementLine) -> str:
        return _text(row.credited_nano)

    def get_total_usd(self, row: StatementLine) -> str:
        return _text(row.total_nano)

    def get_cost_usd(self, row: StatementLine) -> str | None:
        request = self.context.get("request")
        if request is None or not may_see_margins(caller_of(request)):
            return None
        return _text(row.cost_nano)


class StatementSerializer(serializers.ModelSerializer[Statement]):
    number = serializers.CharField(source="reference", read_only=True)
    total_usd = serializers.SerializerMethodField()
    charged_usd = serializers.SerializerMethodField()
    adjusted_usd = serializers.SerializerMethodField()
    credited_usd = serializers.SerializerMethodField()
    total_in_currency = serializers.SerializerMethodField()
    cost_usd = serializers.SerializerMethodField(help_text="null for who may not see margins.")
    listed_in = serializers.SlugRelatedField[Any](slug_field="reference", read_only=True)

    class Meta:
        model = Statement
        fields = (
            "id", "number", "kind", "team_id", "team_name", "client_id", "client_name",
            "starts_at", "ends_at", "time_zone", "requests", "charged_usd", "adjusted_usd",
            "credited_usd", "total_usd", "cost_usd", "currency", "rate", "rate_day",
            "total_in_currency", "listed_in", "issued_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_total_usd(self, row: Statement) -> str:
        return _text(row.total_nano)

    def get_charged_usd(self, row: Statement) -> str:
        return _text(row.charged_nano)

    def get_adjusted_usd(self, row: Statement) -> str:
        return _text(row.adjusted_nano)

    def get_credited_usd(self, row: Statement) -> str:
        return _text(row.credited_nano)

    def get_total_in_currency(self, row: Statement) -> str:
        return _text(row.total_currency_nano)

    def get_cost_usd(self, row: Statement) -> str | None:
        request = self.context.get("request")
        if request is None or not may_see_margins(caller_of(request)):
            return None
        return _text(row.cost_nano)


class _Issue(StrictSerializer):
    month = serializers.CharField(max_length=7, help_text="Such as 2026-10.")
    currency = serializers.CharField(max_length=3, default="USD", validators=[currency_validator])

    def validate_month(self, value: str) -> months.Month:
        try:
            return months.read(value)
        except ValueError as wrong:
            raise serializers.ValidationError(str(wrong)) from None


class StatementIssueSerializer(_Issue):
    team = serializers.PrimaryKeyRelatedField(queryset=Team.objects.all())
    client = serializers.PrimaryKeyRelatedField(
        queryset=Client.objects.all(), required=False, help_text="One of the team: its own series."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        client = attrs.get("client")
        if client is not None and client.team_id != attrs["team"].pk:
            raise serializers.ValidationError({"client": ["It is of another team."]})
        return attrs


class StatementsIssueSerializer(_Issue):
    """Of all teams that have none yet."""


class CreditNoteSerializer(StrictSerializer):
    team = serializers.PrimaryKeyRelatedField(queryset=Team.objects.all())


class MarginsSerializer(StrictSerializer):
    margins = serializers.BooleanField(default=False, help_text="With our cost and the margin.")


class InvoicingJobSerializer(serializers.Serializer[Any]):
    job = serializers.CharField(help_text="The name of the job that works on it.")


class StatementFilters(django_filters.FilterSet):
    team = django_filters.NumberFilter(field_name="team_id")
    client = django_filters.NumberFilter(field_name="client_id")
    number = django_filters.CharFilter(field_name="reference", max_length=40)
    since = django_filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="starts_at", lookup_expr="lt")

    class Meta:
        model = Statement
        fields: ClassVar = {"kind": ["exact"]}


@extend_schema(tags=["Invoicing"])
@extend_schema_view(
    list=extend_schema(summary="List statements and credit notes"),
    retrieve=extend_schema(
        summary="Read a statement", responses={200: StatementSerializer, **REFUSALS}
    ),
)
class StatementViewSet(mixins.CreateModelMixin, Rows):
    """Numbered documents of what teams were charged. They never change."""

    read = Capability.BILLING_READ
    write = Capability.BILLING_WRITE
    rows = Statement.objects.select_related("listed_in").order_by("-pk")
    serializer_class = StatementSerializer
    http_method_names = ["get", "head", "options", "post"]
    filterset_class = StatementFilters

    @extend_schema(
        summary="Issue the statement of a team for a month",
        request=StatementIssueSerializer,
        responses={201: StatementSerializer, **REFUSALS},
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = self._read(StatementIssueSerializer)
        made = statements.issue(author=caller_of(request).name, **given)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(
        summary="Issue the statements of all teams for a month, in a job",
        request=StatementsIssueSerializer,
        responses={202: InvoicingJobSerializer, **REFUSALS},
    )
    @action(methods=["post"], detail=False)
    def issue(self, request: Request) -> Response:
        given = self._read(StatementsIssueSerializer)
        arguments = {
            "month": str(given["month"]),
            "currency": given["currency"],
            "author": caller_of(request).name,
        }
        trail.record("statement.issue_asked", after=arguments)
        job_queue.enqueue("issue-statements", "apps.invoicing.tasks.issue_statements", arguments)
        return Response({"job": "issue-statements"}, status=202)

    @extend_schema(
        summary="Issue a credit note of what was corrected since the last statement",
        request=CreditNoteSerializer,
        responses={201: StatementSerializer, **REFUSALS},
    )
    @action(methods=["post"], detail=False, url_path="credit-notes")
    def credit_notes(self, request: Request) -> Response:
        given = self._read(CreditNoteSerializer)
        made = statements.issue_credit_note(author=caller_of(request).name, **given)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(summary="The lines of a statement", responses=StatementLineSerializer(many=True))
    @action(methods=["get"], detail=True, filterset_class=None)
    def lines(self, request: Request, pk: str) -> Response:
        rows = self.get_object().lines.order_by("-pk")
        page = self.paginate_queryset(rows)
        context = self.get_serializer_context()
        shown = StatementLineSerializer(page, many=True, context=context)
        return self.get_paginated_response(shown.data)

    @extend_schema(
        summary="The document as it was issued, as PDF",
        parameters=[MarginsSerializer],
        responses={(200, "application/pdf"): OpenApiResponse(OpenApiTypes.BINARY)},
    )
    @action(methods=["get"], detail=True, filterset_class=None)
    def pdf(self, request: Request, pk: str) -> Any:
        return self._file("pdf")

    @extend_schema(
        summary="The document as it was issued, as CSV",
        parameters=[MarginsSerializer],
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
    )
    @action(methods=["get"], detail=True, filterset_class=None)
    def csv(self, request: Request, pk: str) -> Any:
        return self._file("csv")

    def _file(self, form: str) -> Any:
        row = self.get_object()
        asked = MarginsSerializer(data=self.request.query_params.dict())
        asked.is_valid(raise_exception=True)
        margins = asked.validated_data["margins"]
        if margins and not may_see_margins(caller_of(self.request)):
            raise PermissionDenied("Cost and margin are for who manages billing.")
        return files.download(row, form, shows_margins=margins)

    def _read(self, kind: type[StrictSerializer]) -> dict[str, Any]:
        self.require("add", Statement())
        given = kind(data=self.request.data)
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)


def _text(nano: int) -> str:
    return f"{usd_from_nano(nano):.9f}"
