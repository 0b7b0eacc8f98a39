"""/api/v1/repricings"""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.fields import StrictMixin, StrictSerializer
from apps.accounts.api.rows import REFUSALS, Rows, caller_of, person_of
from apps.accounts.models import Client, Team
from apps.accounts.roles import Capability
from apps.billing.models import PriceBook, TierTerms
from apps.repricing import services, tables
from apps.repricing.asked import check
from apps.repricing.errors import RepricingRefused
from apps.repricing.models import Repricing
from chatvault.lib.errors import Conflict

_ASKED = (
    "reason", "starts_at", "ends_at", "team", "client", "alias", "model", "provider", "basis",
    "book", "terms", "prices_at", "as_credit_note",
)  # fmt: skip
_FOUND = (
    "id", "state", "counts", "unpriced_models", "cost_before_nano", "cost_after_nano",
    "charged_before_nano", "charged_after_nano", "author_name", "approver_name", "created_at",
    "checked_at", "approved_at", "booked_at", "undone_at", "trouble",
)  # fmt: skip


class RepricingSerializer(StrictMixin, serializers.ModelSerializer[Repricing]):
    """Amounts are whole nano-USD."""

    team = serializers.PrimaryKeyRelatedField(
        source="team_id", queryset=Team.objects.all(), required=False, allow_null=True,
        pk_field=serializers.IntegerField(), help_text="Only requests of this team.",
    )  # fmt: skip
    client = serializers.PrimaryKeyRelatedField(
        source="client_id", queryset=Client.objects.all(), required=False, allow_null=True,
        pk_field=serializers.IntegerField(), help_text="Only requests of this client.",
    )  # fmt: skip
    provider = serializers.CharField(
        source="provider_name", required=False, allow_blank=True, max_length=100
    )
    book = serializers.PrimaryKeyRelatedField(
        queryset=PriceBook.objects.all(), required=False, allow_null=True
    )
    terms = serializers.PrimaryKeyRelatedField(
        queryset=TierTerms.objects.all(), required=False, allow_null=True,
        help_text="The id of a version of a pricing tier.",
    )  # fmt: skip
    counts = serializers.DictField(child=serializers.IntegerField(), read_only=True)
    unpriced_models = serializers.SerializerMethodField()

    class Meta:
        model = Repricing
        fields = (*_FOUND, *_ASKED)
        read_only_fields = _FOUND

    def get_unpriced_models(self, row: Repricing) -> dict[str, int]:
        return dict(row.unpriced_models)

    def to_representation(self, instance: Repricing) -> dict[str, Any]:
        told: dict[str, Any] = super().to_representation(instance)
        return told | {"team": instance.team_id, "client": instance.client_id}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        wrong: dict[str, list[str]] = {}

        def refuse(field: str, why: str) -> None:
            wrong.setdefault(field, []).append(why)

        team, client = attrs.get("team_id"), attrs.get("client_id")
        basis = attrs.get("basis", Repricing.Basis.CORRECTED)
        check(attrs | {"team": team, "client": client, "basis": basis}, refuse)
        if team and client and client.team_id != team.pk:
            refuse("client", "It belongs to another team.")
        if wrong:
            raise serializers.ValidationError(wrong)
        attrs["team_id"] = team.pk if team else None
        attrs["client_id"] = client.pk if client else None
        return attrs


class RepricingLineSerializer(StrictSerializer):
    name = serializers.CharField()
    requests = serializers.IntegerField()
    changed = serializers.IntegerField()
    cost_before_nano = serializers.IntegerField()
    cost_after_nano = serializers.IntegerField()
    cost_delta_nano = serializers.IntegerField()
    charged_before_nano = serializers.IntegerField()
    charged_after_nano = serializers.IntegerField()
    charged_delta_nano = serializers.IntegerField()


class RepricingFilters(django_filters.FilterSet):
    class Meta:
        model = Repricing
        fields: ClassVar = {"state": ["exact"], "basis": ["exact"]}


_STEP: Any = {
    "request": None,
    "responses": {200: RepricingSerializer, **REFUSALS},
}


@extend_schema(tags=["Repricing"])
@extend_schema_view(
    list=extend_schema(summary="List repricings"),
    retrieve=extend_schema(
        summary="Read a repricing", responses={200: RepricingSerializer, **REFUSALS}
    ),
    create=extend_schema(
        summary="Start the dry run of a repricing",
        description="Nothing is booked before it is approved.",
        responses={201: RepricingSerializer, **REFUSALS},
    ),
)
class RepricingViewSet(mixins.CreateModelMixin, Rows):
    """Ranges of requests priced again."""

    read = Capability.BILLING_READ
    write = Capability.BILLING_WRITE
    rows = Repricing.objects.order_by("-pk")
    serializer_class = RepricingSerializer
    filterset_class = RepricingFilters
    http_method_names = ["get", "head", "options", "post"]

    def perform_create(self, serializer: Any) -> None:
        row = Repricing(**serializer.validated_data)
        self.require("add", row)
        caller = caller_of(self.request)
        services.begin(row, author=person_of(self.request), author_name=caller.name)
        serializer.instance = row

    @extend_schema(
        summary="Sums of the dry run",
        parameters=[
            OpenApiParameter(
                "by", enum=list(tables.DIMENSIONS), description="One dimension; default: model."
            )
        ],
        responses={200: RepricingLineSerializer(many=True), **REFUSALS},
        filters=False,
    )
    @action(detail=True, pagination_class=None, filterset_class=None)
    def lines(self, request: Request, pk: str | None = None) -> Response:
        dimension = request.query_params.get("by", "model")
        if dimension not in tables.DIMENSIONS or set(request.query_params) - {"by"}:
            raise serializers.ValidationError(
                {"by": [f"Give one of {', '.join(tables.DIMENSIONS)}."]}
            )
        rows = tables.by(self.get_object(), dimension)
        return Response(RepricingLineSerializer(rows, many=True).data)

    @extend_schema(summary="Approve and book", **_STEP)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str | None = None) -> Response:
        row = self.get_object()
        who, name = person_of(request), caller_of(request).name
        return self._done(lambda: services.approve(row, approver=who, approver_name=name), row)

    @extend_schema(summary="Undo: book the opposite entries", **_STEP)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str | None = None) -> Response:
        row, name = self.get_object(), caller_of(request).name
        return self._done(lambda: services.undo(row, undoer_name=name), row)

    @extend_schema(summary="Run the dry run again", **_STEP)
    @action(detail=True, methods=["post"])
    def check(self, request: Request, pk: str | None = None) -> Response:
        row = self.get_object()
        return self._done(lambda: services.check_again(row), row)

    @extend_schema(summary="Give it up before anything is booked", **_STEP)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str | None = None) -> Response:
        row = self.get_object()
        return self._done(lambda: services.withdraw(row), row)

    def _done(self, step: Any, row: Repricing) -> Response:
        try:
            step()
        except RepricingRefused as refused:
            raise Conflict(str(refused)) from None
        row.refresh_from_db()
        return Response(self.get_serializer(row).data)
