"""/api/v1/budgets/{id}/raises: more money for a while; one asks, another approves."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import django_filters
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.mixins import CreateModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import permissions
from apps.accounts.api.fields import StrictMixin, StrictSerializer
from apps.accounts.api.rows import REFUSALS, Rows, caller_of, person_of
from apps.accounts.roles import Capability
from apps.billing import budget_raises
from apps.billing.api.budgets import UsdField
from apps.billing.models import Budget, BudgetRaise
from chatvault.lib import clock
from chatvault.lib.errors import Conflict

_READ = ("id", "budget", "state", "author_name", "approver_name", "created_at", "decided_at")
_METHODS: Final = ["get", "head", "options", "post"]
_DECIDING = (Capability.BILLING_WRITE, "approve", "end")


class BudgetRaiseSerializer(StrictMixin, serializers.ModelSerializer[BudgetRaise]):
    extra_usd = UsdField(source="extra_nano", min_value=0, help_text="Beside the amount.")

    class Meta:
        model = BudgetRaise
        fields = (*_READ, "extra_usd", "starts_at", "ends_at", "reason")
        read_only_fields = _READ

    def validate_extra_usd(self, nano: int) -> int:
        if nano <= 0:
            raise serializers.ValidationError("More than nothing.")
        return nano

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["ends_at"] <= attrs["starts_at"]:
            raise serializers.ValidationError({"ends_at": ["It must end after it starts."]})
        if attrs["ends_at"] <= clock.now():
            raise serializers.ValidationError({"ends_at": ["This is past already."]})
        return attrs


class NothingToSay(StrictSerializer):
    """A body without fields."""


class BudgetRaiseFilters(django_filters.FilterSet):
    class Meta:
        model = BudgetRaise
        fields: ClassVar = {"state": ["exact"]}


_BUDGET = OpenApiParameter("budget_id", OpenApiTypes.INT, OpenApiParameter.PATH)
_RAISE = OpenApiParameter("raise_id", OpenApiTypes.INT, OpenApiParameter.PATH)
_ONE: Any = {"parameters": [_BUDGET, _RAISE], "responses": {200: BudgetRaiseSerializer, **REFUSALS}}


@extend_schema(tags=["Budgets"])
@extend_schema_view(
    list=extend_schema(summary="List raises of a budget", parameters=[_BUDGET]),
    retrieve=extend_schema(summary="Read a raise", **_ONE),
    create=extend_schema(
        summary="Ask for a raise",
        description="It holds from its beginning on once somebody else has approved it.",
        parameters=[_BUDGET],
        responses={201: BudgetRaiseSerializer, **REFUSALS},
    ),
)
class BudgetRaiseViewSet(CreateModelMixin, Rows):
    """Asked for with `limits:write`, approved and ended with `billing:write`."""

    read = Capability.BILLING_READ
    write = Capability.LIMITS_WRITE
    rows = BudgetRaise.objects.select_related(
        "budget__team", "budget__client", "budget__key__client"
    ).order_by("-pk")
    serializer_class = BudgetRaiseSerializer
    http_method_names = _METHODS
    filterset_class = BudgetRaiseFilters
    lookup_url_kwarg = "raise_id"
    lookup_value_regex = "[0-9]+"

    @property
    def capabilities(self) -> dict[str, Capability]:
        needed, *decisions = _DECIDING
        is_decision = getattr(self, "action", None) in decisions
        return super().capabilities | ({"POST": Capability(needed)} if is_decision else {})

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        return rows.filter(budget=self._budget())

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self._budget()  # what may not be seen is not there, whatever was sent
        return super().create(request, *args, **kwargs)

    def perform_create(self, serializer: Any) -> None:
        row = BudgetRaise(budget=self._budget(), **serializer.validated_data)
        self.require("add", row)
        row.author, row.author_name = person_of(self.request), caller_of(self.request).name[:200]
        serializer.instance = budget_raises.ask(row)

    @extend_schema(summary="Approve a raise", request=NothingToSay, **_ONE)
    @action(methods=["post"], detail=True)
    def approve(self, request: Request, budget_id: str, raise_id: str) -> Response:
        """Nobody approves what they asked for, except who may do everything."""
        return self._decide("approve")

    @extend_schema(summary="Decline a raise, or take it back", request=NothingToSay, **_ONE)
    @action(methods=["post"], detail=True)
    def decline(self, request: Request, budget_id: str, raise_id: str) -> Response:
        return self._decide("decline")

    @extend_schema(summary="End an approved raise now", request=NothingToSay, **_ONE)
    @action(methods=["post"], detail=True)
    def end(self, request: Request, budget_id: str, raise_id: str) -> Response:
        return self._decide("end")

    def _decide(self, decision: str) -> Response:
        row = self.get_object()
        NothingToSay(data=self.request.data).is_valid(raise_exception=True)
        try:
            budget_raises.decide(row, decision, by=caller_of(self.request))
        except budget_raises.NotYours as refused:
            raise PermissionDenied(str(refused)) from None
        except budget_raises.RaiseRefused as refused:
            raise Conflict(str(refused)) from None
        return Response(self.get_serializer(row).data)

    def _budget(self) -> Budget:
        """Raises Http404 for one that the caller may not see."""
        rows = Budget.objects.select_related("team", "client", "key__client")
        seen = permissions.limit(rows, caller_of(self.request))
        found = seen.filter(pk=self.kwargs["budget_id"]).first()
        if found is None:
            raise Http404
        return found
