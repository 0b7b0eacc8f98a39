"""/api/v1/match-rules"""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers

from apps.accounts.api.fields import StrictMixin
from apps.accounts.api.rows import CHANGING, REFUSALS
from apps.accounts.roles import Capability
from apps.invoicing.api.told import ToldRows
from apps.invoicing.models import MatchRule


class MatchRuleSerializer(StrictMixin, serializers.ModelSerializer[MatchRule]):
    class Meta:
        model = MatchRule
        fields = ("id", "provider", "billed_model", "model", "created_at")
        read_only_fields = ("id", "created_at")
        validators: ClassVar[list[Any]] = []  # one that there is already is told as a conflict


class MatchRuleFilters(django_filters.FilterSet):
    provider = django_filters.NumberFilter(
        field_name="provider_id", help_text="Id of the provider."
    )

    class Meta:
        model = MatchRule
        fields: ClassVar = {"billed_model": ["exact"], "model": ["exact"]}


@extend_schema(tags=["Invoicing"])
@extend_schema_view(
    list=extend_schema(summary="List match rules"),
    retrieve=extend_schema(
        summary="Read a match rule", responses={200: MatchRuleSerializer, **REFUSALS}
    ),
    create=extend_schema(
        summary="Say which of our models a name on a provider's bills means",
        responses={201: MatchRuleSerializer, **REFUSALS},
    ),
    partial_update=extend_schema(
        summary="Change a match rule", responses={200: MatchRuleSerializer, **REFUSALS}
    ),
    destroy=extend_schema(summary="Delete a match rule"),
)
class MatchRuleViewSet(ToldRows):
    """Names on bills, and which of our models they mean. They hold for bills that are read from
    now on, and for one that there is from its next comparison on."""

    read = Capability.BILLING_READ
    write = Capability.BILLING_WRITE
    rows = MatchRule.objects.order_by("-pk")
    serializer_class = MatchRuleSerializer
    http_method_names = CHANGING
    filterset_class = MatchRuleFilters
    topic = "matchrule"
    conflict = "There is a rule for this name of the provider already."

    def told(self, row: Any) -> dict[str, Any]:
        return {"provider": row.provider_id, "billed_model": row.billed_model, "model": row.model}
