"""/api/v1/budget-lines: at which lines budgets are told of."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db import IntegrityError, transaction
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.exceptions import ValidationError

from apps.accounts import permissions
from apps.accounts.api.fields import StrictMixin
from apps.accounts.api.rows import CHANGING, REFUSALS, Rows, caller_of
from apps.accounts.roles import Capability
from apps.alerts import budgets
from apps.alerts.models import BudgetLines
from apps.billing.models import Budget
from chatvault.lib.errors import Conflict


class BudgetField(serializers.PrimaryKeyRelatedField[Budget]):
    """The id of a budget that the caller may see."""

    def get_queryset(self) -> Any:
        return permissions.limit(Budget.objects.all(), caller_of(self.context["request"]))


class BudgetLinesSerializer(StrictMixin, serializers.ModelSerializer[BudgetLines]):
    budget = BudgetField(help_text="Id of the budget. Fixed once made.")
    percents = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=1000),
        min_length=1,
        max_length=budgets.MOST_LINES,
        help_text="Whole percents of the amount; above 100 is past it.",
    )

    class Meta:
        model = BudgetLines
        fields = ("id", "budget", "percents")
        read_only_fields = ("id",)
        validators: ClassVar[list[Any]] = []
        extra_kwargs: ClassVar[dict[str, Any]] = {}

    def validate_percents(self, value: list[int]) -> list[int]:
        return sorted(set(value))

    def validate_budget(self, value: Budget) -> Budget:
        if self.instance is not None and value != self.instance.budget:
            raise ValidationError("It stays: make other ones for the other budget.")
        return value


class BudgetLinesFilters(django_filters.FilterSet):
    budget = django_filters.NumberFilter(field_name="budget_id", help_text="Id of the budget.")

    class Meta:
        model = BudgetLines
        fields: ClassVar[dict[str, list[str]]] = {}


@extend_schema(tags=["Alerts"])
@extend_schema_view(
    list=extend_schema(summary="List lines of budgets that have their own"),
    retrieve=extend_schema(
        summary="Read the lines of a budget", responses={200: BudgetLinesSerializer, **REFUSALS}
    ),
    create=extend_schema(
        summary="Give a budget its own lines", responses={201: BudgetLinesSerializer, **REFUSALS}
    ),
    partial_update=extend_schema(
        summary="Change the lines of a budget", responses={200: BudgetLinesSerializer, **REFUSALS}
    ),
    destroy=extend_schema(summary="Go back to the lines of the installation"),
)
class BudgetLinesViewSet(
    mixins.CreateModelMixin, mixins.UpdateModelMixin, mixins.DestroyModelMixin, Rows
):
    """Percent of their amounts at which budgets are told of."""

    read = Capability.BILLING_READ
    write = Capability.BILLING_WRITE
    rows = BudgetLines.objects.select_related(
        "budget__team", "budget__client", "budget__key__client"
    ).order_by("-pk")
    serializer_class = BudgetLinesSerializer
    http_method_names = CHANGING
    filterset_class = BudgetLinesFilters

    def perform_create(self, serializer: Any) -> None:
        self.require("add", BudgetLines(**serializer.validated_data))
        try:
            with transaction.atomic():
                row = serializer.save()
                self._told("budgetlines.added", row, after={"percents": row.percents})
        except IntegrityError:
            raise Conflict("The budget has lines already: change these.") from None

    @transaction.atomic
    def perform_update(self, serializer: Any) -> None:
        before = {"percents": list(serializer.instance.percents)}
        row = serializer.save()
        self._told("budgetlines.changed", row, before=before, after={"percents": row.percents})

    @transaction.atomic
    def perform_destroy(self, instance: Any) -> None:
        self._told("budgetlines.deleted", instance, before={"percents": instance.percents})
        instance.delete()

    def _told(self, action: str, row: BudgetLines, **changes: Any) -> None:
        self.tell(action, row, team_id=budgets.team_id_of(row.budget), **changes)
