"""/api/v1/bills"""

from __future__ import annotations

from typing import Any, ClassVar
from zoneinfo import available_timezones

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.fields import StrictSerializer
from apps.accounts.api.rows import REFUSALS, Rows, caller_of
from apps.accounts.roles import Capability
from apps.audit import trail
from apps.configuration import job_queue
from apps.invoicing import bills, booking, importing
from apps.invoicing.bills.generic import COLUMNS
from apps.invoicing.errors import InvoicingError
from apps.invoicing.models import Bill, BillAdjustment, BillLine, BillMatch
from apps.invoicing.models.rates import currency_validator
from apps.providers.models import Provider
from chatvault.lib.money import usd_from_nano


class AdjustmentSerializer(serializers.ModelSerializer[BillAdjustment]):
    amount_usd = serializers.SerializerMethodField()

    class Meta:
        model = BillAdjustment
        fields = (
            "number", "state", "amount_usd", "requests", "reason", "author_name", "undone_by",
            "problem", "batch_id", "created_at", "finished_at",
        )  # fmt: skip

    def get_amount_usd(self, row: BillAdjustment) -> str:
        return _text(row.amount_nano)


class BillSerializer(serializers.ModelSerializer[Bill]):
    billed_usd = serializers.SerializerMethodField()
    matched_usd = serializers.SerializerMethodField()
    cost_usd = serializers.SerializerMethodField(help_text="Ours, when last compared.")
    drift_usd = serializers.SerializerMethodField(help_text="Billed more than we booked.")
    adjustments = AdjustmentSerializer(many=True, read_only=True)

    class Meta:
        model = Bill
        fields = (
            "id", "provider", "provider_name", "form", "file_name", "digest", "state", "problem",
            "faults", "fault_count", "row_count", "time_zone", "currency", "starts_on", "ends_on",
            "billed_usd", "matched_usd", "cost_usd", "drift_usd", "is_drifting", "compared_at",
            "adjustments", "author_name", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_billed_usd(self, row: Bill) -> str:
        return _text(row.usd_nano)

    def get_matched_usd(self, row: Bill) -> str:
        return _text(row.matched_usd_nano)

    def get_cost_usd(self, row: Bill) -> str | None:
        return _text(row.cost_nano) if row.compared_at else None

    def get_drift_usd(self, row: Bill) -> str | None:
        return _text(row.drift_nano) if row.compared_at else None


class BillLineSerializer(serializers.ModelSerializer[BillLine]):
    amount = serializers.SerializerMethodField(help_text="In the bill's currency.")
    usd = serializers.SerializerMethodField()

    class Meta:
        model = BillLine
        fields = (
            "id", "day", "billed_model", "model", "amount", "usd", "rate_day", "quantity", "rows",
            "first_row", "unmatched",
        )  # fmt: skip

    def get_amount(self, row: BillLine) -> str:
        return _text(row.amount_nano)

    def get_usd(self, row: BillLine) -> str:
        return _text(row.usd_nano)


class BillMatchSerializer(serializers.ModelSerializer[BillMatch]):
    billed_usd = serializers.SerializerMethodField()
    cost_usd = serializers.SerializerMethodField()
    drift_usd = serializers.SerializerMethodField()

    class Meta:
        model = BillMatch
        fields = ("id", "day", "model", "requests", "billed_usd", "cost_usd", "drift_usd")

    def get_billed_usd(self, row: BillMatch) -> str:
        return _text(row.billed_nano)

    def get_cost_usd(self, row: BillMatch) -> str:
        return _text(row.cost_nano)

    def get_drift_usd(self, row: BillMatch) -> str:
        return _text(row.drift_nano)


class BillImportSerializer(StrictSerializer):
    provider = serializers.PrimaryKeyRelatedField(queryset=Provider.objects.all())
    form = serializers.ChoiceField(choices=sorted(bills.FORMATS), help_text="The file's format.")
    file = serializers.FileField(help_text="As the provider gives it.")
    starts_on = serializers.DateField(required=False, help_text="Left out: the file's first day.")
    ends_on = serializers.DateField(required=False, help_text="Left out: the file's last day.")
    time_zone = serializers.CharField(max_length=64, default="UTC")
    currency = serializers.CharField(
        max_length=3, required=False, validators=[currency_validator],
        help_text="Lines in another one are refused. Left out: the file's.",
    )  # fmt: skip
    columns = serializers.DictField(
        child=serializers.CharField(max_length=100), required=False,
        help_text=f"Of the generic format, as JSON: {', '.join(COLUMNS)} to the file's columns.",
    )  # fmt: skip
    day_order = serializers.ChoiceField(choices=["ymd", "dmy", "mdy"], default="ymd")
    decimal_comma = serializers.BooleanField(default=False)

    def validate_time_zone(self, value: str) -> str:
        if value not in available_timezones():
            raise serializers.ValidationError("There is no such time zone.")
        return value

    def validate_columns(self, value: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(value) - set(COLUMNS)):
            raise serializers.ValidationError(f"{unknown[0]} is none of {', '.join(COLUMNS)}.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        first, last = attrs.get("starts_on"), attrs.get("ends_on")
        if first and last and last < first:
            raise serializers.ValidationError({"ends_on": ["It must not be before `starts_on`."]})
        return attrs


class AdjustSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=200)
    with_unbilled = serializers.BooleanField(
        default=False, help_text="What the bill does not name cost nothing."
    )


class BillFilters(django_filters.FilterSet):
    since = django_filters.DateFilter(field_name="ends_on", lookup_expr="gte")
    until = django_filters.DateFilter(field_name="starts_on", lookup_expr="lte")

    class Meta:
        model = Bill
        fields: ClassVar = {
            "provider_name": ["exact"],
            "state": ["exact"],
            "is_drifting": ["exact"],
        }


def _deed(summary: str, request: Any = None) -> Any:
    return extend_schema(summary=summary, request=request, responses={200: BillSerializer})


@extend_schema(tags=["Invoicing"])
@extend_schema_view(
    list=extend_schema(summary="List providers' bills"),
    retrieve=extend_schema(summary="Read a bill", responses={200: BillSerializer, **REFUSALS}),
)
class BillViewSet(mixins.CreateModelMixin, Rows):
    """What providers bill, beside what the ledger says."""

    read = Capability.BILLING_READ
    write = Capability.BILLING_WRITE
    rows = Bill.objects.prefetch_related("adjustments").order_by("-pk")
    serializer_class = BillSerializer
    parser_classes = (MultiPartParser, JSONParser)
    http_method_names = ["get", "head", "options", "post"]
    filterset_class = BillFilters

    @extend_schema(
        summary="Import a bill; a job reads it, and nothing counts before it is accepted",
        request={"multipart/form-data": BillImportSerializer},
        responses={201: BillSerializer, **REFUSALS},
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self.require("add", Bill())
        given = BillImportSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        asked = dict(given.validated_data)
        provider, file = asked.pop("provider"), asked.pop("file")
        terms = importing.Terms(mapping=asked.pop("columns", {}), **asked)
        bill = importing.take(
            provider=provider,
            file_name=file.name,
            data=file.read(),
            terms=terms,
            author=caller_of(request).name,
        )
        return Response(self.get_serializer(bill).data, status=201)

    @extend_schema(summary="The lines of a bill", responses=BillLineSerializer(many=True))
    @action(methods=["get"], detail=True, filterset_class=None)
    def lines(self, request: Request, pk: str) -> Response:
        return self._page(self.get_object().lines.all(), BillLineSerializer)

    @extend_schema(
        summary="A bill beside our cost, by day and model", responses=BillMatchSerializer(many=True)
    )
    @action(methods=["get"], detail=True, filterset_class=None)
    def matches(self, request: Request, pk: str) -> Response:
        return self._page(self.get_object().matches.all(), BillMatchSerializer)

    @_deed("Accept a bill: from now on it counts")
    @action(methods=["post"], detail=True)
    def accept(self, request: Request, pk: str) -> Response:
        importing.accept(bill=self.get_object())
        return self._again()

    @_deed("Discard a bill")
    @action(methods=["post"], detail=True)
    def discard(self, request: Request, pk: str) -> Response:
        importing.discard(bill=self.get_object())
        return self._again()

    @_deed("Read the file of a bill again")
    @action(methods=["post"], detail=True, url_path="read-again")
    def read_again(self, request: Request, pk: str) -> Response:
        importing.read_again(bill=self.get_object())
        return self._again()

    @_deed("Compare a bill with our cost again")
    @action(methods=["post"], detail=True)
    def compare(self, request: Request, pk: str) -> Response:
        bill = self.get_object()
        if bill.state != Bill.State.COUNTED:
            raise InvoicingError("Only an accepted bill is compared.")
        trail.record("bill.compared", target=bill)
        job_queue.enqueue("compare-bill", "apps.invoicing.tasks.compare_bill", {"bill_id": bill.pk})
        return self._again()

    @_deed("Adjust our cost to a bill", AdjustSerializer)
    @action(methods=["post"], detail=True)
    def adjust(self, request: Request, pk: str) -> Response:
        bill = self.get_object()
        given = AdjustSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        booking.begin(bill=bill, author=caller_of(request).name, **given.validated_data)
        return self._again()

    @_deed("Undo the adjustment to a bill")
    @action(methods=["post"], detail=True)
    def undo(self, request: Request, pk: str) -> Response:
        found = self.get_object().adjustments.exclude(state=BillAdjustment.State.UNDONE).first()
        if found is None:
            raise InvoicingError("There is no adjustment of this bill.")
        booking.begin_undo(made=found, author=caller_of(request).name)
        return self._again()

    def _again(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)

    def _page(self, rows: Any, serializer: Any) -> Response:
        page = self.paginate_queryset(rows.order_by("-pk"))
        return self.get_paginated_response(serializer(page, many=True).data)


def _text(nano: int) -> str:
    return f"{usd_from_nano(nano):.9f}"
