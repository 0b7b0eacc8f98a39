"""/api/v1/exchange-rates"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.fields import StrictMixin, StrictSerializer
from apps.accounts.api.rows import CHANGING, REFUSALS
from apps.accounts.roles import Capability
from apps.invoicing import rates
from apps.invoicing.api.told import ToldRows
from apps.invoicing.models import ExchangeRate
from apps.invoicing.models.rates import currency_validator


class ExchangeRateSerializer(StrictMixin, serializers.ModelSerializer[ExchangeRate]):
    rate = serializers.DecimalField(
        max_digits=24,
        decimal_places=12,
        min_value=Decimal("1e-12"),
        help_text="How many USD one unit is worth.",
    )
    currency = serializers.CharField(max_length=3, validators=[currency_validator])

    class Meta:
        model = ExchangeRate
        fields = ("id", "currency", "day", "rate", "source", "created_at")
        read_only_fields = ("id", "created_at")
        validators: ClassVar[list[Any]] = []  # one that there is already is told as a conflict

    def validate_currency(self, value: str) -> str:
        if value == rates.DOLLAR:
            raise serializers.ValidationError("The dollar needs no rate.")
        return value


class RatesImportSerializer(StrictSerializer):
    csv = serializers.CharField(
        max_length=rates.MOST_BYTES,
        trim_whitespace=False,
        help_text="The ECB's table, or columns currency, day, rate.",
    )
    source = serializers.CharField(max_length=100)  # type: ignore[assignment]


class RatesImportedSerializer(serializers.Serializer[Any]):
    added = serializers.IntegerField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()


class ExchangeRateFilters(django_filters.FilterSet):
    since = django_filters.DateFilter(field_name="day", lookup_expr="gte", help_text="From this.")
    until = django_filters.DateFilter(field_name="day", lookup_expr="lte", help_text="To this.")

    class Meta:
        model = ExchangeRate
        fields: ClassVar = {"currency": ["exact"], "day": ["exact"]}


@extend_schema(tags=["Invoicing"])
@extend_schema_view(
    list=extend_schema(summary="List exchange rates"),
    retrieve=extend_schema(
        summary="Read an exchange rate", responses={200: ExchangeRateSerializer, **REFUSALS}
    ),
    create=extend_schema(
        summary="Enter an exchange rate", responses={201: ExchangeRateSerializer, **REFUSALS}
    ),
    partial_update=extend_schema(
        summary="Correct an exchange rate", responses={200: ExchangeRateSerializer, **REFUSALS}
    ),
    destroy=extend_schema(summary="Delete an exchange rate"),
)
class ExchangeRateViewSet(ToldRows):
    """What one unit of a currency was worth in USD on a day."""

    read = Capability.BILLING_READ
    write = Capability.BILLING_WRITE
    rows = ExchangeRate.objects.order_by("-pk")
    serializer_class = ExchangeRateSerializer
    http_method_names = CHANGING
    filterset_class = ExchangeRateFilters
    topic = "exchangerate"
    conflict = "There is a rate of this currency and day already."

    def told(self, row: Any) -> dict[str, Any]:
        return {"currency": row.currency, "day": str(row.day), "rate": str(row.rate)}

    @extend_schema(
        summary="Import exchange rates: all of them, or none",
        request=RatesImportSerializer,
        responses={200: RatesImportedSerializer, **REFUSALS},
    )
    @action(methods=["post"], detail=False, url_path="import")
    def take(self, request: Request) -> Response:
        self.require("add", ExchangeRate())
        given = RatesImportSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        done = rates.import_csv(given.validated_data["csv"], source=given.validated_data["source"])
        return Response(done._asdict())
