"""/api/v1/alerts and /api/v1/alert-deliveries: what was told, and whether it arrived."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.fields import StrictSerializer
from apps.accounts.api.filters import Search
from apps.accounts.api.rows import REFUSALS, Rows
from apps.accounts.roles import Capability
from apps.alerts import message, services
from apps.alerts.models import Alert, Delivery
from chatvault.lib.errors import Conflict

READING: Final = ["get", "head", "options"]


class AlertSerializer(serializers.ModelSerializer[Alert]):
    team = serializers.IntegerField(
        source="team_id", allow_null=True, help_text="null: it is about the whole installation."
    )
    url = serializers.SerializerMethodField(help_text="The page of the admin that it is about.")

    class Meta:
        model = Alert
        fields = (
            "id", "topic", "key", "title", "text", "facts", "team", "team_name", "at", "last_at",
            "count", "until", "url",
        )  # fmt: skip
        read_only_fields = fields

    def get_url(self, alert: Alert) -> str:
        return message.url_of(alert)


class AlertFilters(django_filters.FilterSet):
    topic = django_filters.CharFilter(help_text="Such as budget.threshold.")
    team = django_filters.NumberFilter(field_name="team_id", help_text="Id of the team.")
    since = django_filters.IsoDateTimeFilter(
        field_name="at", lookup_expr="gte", help_text="Told at this time or later."
    )
    search = Search("title", "text", "key")

    class Meta:
        model = Alert
        fields: ClassVar[dict[str, list[str]]] = {}


@extend_schema(tags=["Alerts"])
@extend_schema_view(
    list=extend_schema(summary="List alerts"),
    retrieve=extend_schema(summary="Read an alert", responses={200: AlertSerializer, **REFUSALS}),
)
class AlertViewSet(Rows):
    """What was told, the newest first."""

    read = Capability.ALERTS_READ
    write = Capability.ALERTS_WRITE
    rows = Alert.objects.order_by("-pk")
    serializer_class = AlertSerializer
    http_method_names = READING
    filterset_class = AlertFilters


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    channel_name = serializers.CharField(source="channel.name")
    title = serializers.CharField(source="alert.title", help_text="Of the alert.")
    delivery_id = serializers.UUIDField(
        source="public_id", help_text="What a webhook is sent as x-chatvault-delivery."
    )

    class Meta:
        model = Delivery
        fields = (
            "id", "delivery_id", "alert", "title", "channel", "channel_name", "state", "attempts",
            "last_error", "created_at", "sent_at", "next_at", "duration_ms",
        )  # fmt: skip
        read_only_fields = fields


class DeliveryFilters(django_filters.FilterSet):
    channel = django_filters.NumberFilter(field_name="channel_id", help_text="Id of the channel.")
    alert = django_filters.NumberFilter(field_name="alert_id", help_text="Id of the alert.")

    class Meta:
        model = Delivery
        fields: ClassVar = {"state": ["exact"]}


class NothingSerializer(StrictSerializer):
    """An empty object."""


@extend_schema(tags=["Alerts"])
@extend_schema_view(
    list=extend_schema(summary="List deliveries of alerts"),
    retrieve=extend_schema(
        summary="Read a delivery", responses={200: DeliverySerializer, **REFUSALS}
    ),
)
class DeliveryViewSet(Rows):
    """Whether alerts arrived."""

    read = Capability.ALERTS_READ
    write = Capability.ALERTS_WRITE
    rows = Delivery.objects.select_related("alert", "channel").order_by("-pk")
    serializer_class = DeliverySerializer
    http_method_names = [*READING, "post"]
    filterset_class = DeliveryFilters

    @extend_schema(
        summary="Send a delivery again that failed or was given up",
        request=NothingSerializer,
        responses={200: DeliverySerializer, **REFUSALS},
    )
    @action(methods=["post"], detail=True)
    def retry(self, request: Request, pk: str | None = None) -> Response:
        row: Any = self.get_object()
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        if not services.retry(deliveries=[row]):
            raise Conflict("It was sent, or waits to be sent already.")
        row.refresh_from_db()
        return Response(DeliverySerializer(row).data)
