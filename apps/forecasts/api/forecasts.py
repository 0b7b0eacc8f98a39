"""/api/v1/budgets/{id}/forecast: the latest forecast of a budget, and a new one."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts import permissions
from apps.accounts.api.rows import REFUSALS, caller_of
from apps.accounts.roles import Capability
from apps.billing.models import Budget
from apps.forecasts import services
from apps.forecasts.models import BudgetForecast
from chatvault.lib import clock
from chatvault.lib.money import usd_from_nano


def _usd(help_text: str = "", **more: Any) -> serializers.DecimalField:
    return serializers.DecimalField(20, 9, help_text=help_text, **more)


class ForecastPointSerializer(serializers.Serializer[Any]):
    on = serializers.DateField()
    spent_usd = _usd("At the end of the day; null: it is not over.", allow_null=True)
    expected_usd = _usd(allow_null=True)
    low_usd = _usd(allow_null=True)
    high_usd = _usd(allow_null=True)


class BudgetForecastSerializer(serializers.Serializer[Any]):
    budget = serializers.IntegerField()
    made_at = serializers.DateTimeField()
    window_starts_at = serializers.DateTimeField()
    window_ends_at = serializers.DateTimeField(allow_null=True)
    last_on = serializers.DateField(help_text="The last day that was looked at.")
    amount_usd = _usd()
    spent_usd = _usd("When it was made.")
    expected_usd = _usd("At the end of the window.")
    low_usd = _usd("In four of five cases not less.")
    high_usd = _usd("In four of five cases not more.")
    runs_out_on = serializers.DateField(
        allow_null=True, help_text="null: more likely than not, not within the window."
    )
    runs_out_earliest = serializers.DateField(allow_null=True)
    runs_out_latest = serializers.DateField(allow_null=True)
    expected_daily_usd = _usd()
    safe_daily_usd = _usd("What is left, by the days that are left.")
    method = serializers.ChoiceField(choices=BudgetForecast.Method.choices)
    days_seen = serializers.IntegerField()
    points = ForecastPointSerializer(many=True)


class ForecastAskedSerializer(serializers.Serializer[Any]):
    asked = serializers.BooleanField(help_text="false: a worker has been asked already.")


class BudgetForecastView(APIView):
    """Of a budget that the caller may see."""

    capabilities: ClassVar = {"GET": Capability.BILLING_READ, "POST": Capability.BILLING_WRITE}

    @extend_schema(
        tags=["Forecasts"],
        operation_id="budgets_forecast_retrieve",
        summary="What a budget can expect in its window of now",
        description="404 also while there is no forecast of this window: it is made every night.",
        responses={200: BudgetForecastSerializer, **REFUSALS},
    )
    def get(self, request: Request, budget_id: int) -> Response:
        budget = self._budget(request, budget_id)
        rows = BudgetForecast.objects.newest([budget.pk]).holding(clock.now())
        row = rows.first()
        if row is None:
            raise Http404
        return Response(BudgetForecastSerializer(_told(row)).data)

    @extend_schema(
        tags=["Forecasts"],
        operation_id="budgets_forecast_create",
        summary="Have a worker forecast a budget now",
        request=None,
        responses={202: ForecastAskedSerializer, **REFUSALS},
    )
    def post(self, request: Request, budget_id: int) -> Response:
        budget = self._budget(request, budget_id)
        if not permissions.may_touch(caller_of(request), "change", budget):
            raise PermissionDenied
        return Response({"asked": services.ask(budget=budget)}, status=202)

    def _budget(self, request: Request, budget_id: int) -> Budget:
        """Raises Http404 for one that the caller may not see."""
        rows = Budget.objects.select_related(*services.RELATED, "key__client")
        seen = permissions.limit(rows, caller_of(request)).filter(pk=budget_id)
        budget = seen.first() if budget_id < 2**63 else None
        if budget is None:
            raise Http404
        return budget


def _told(row: BudgetForecast) -> dict[str, Any]:
    names = ("amount", "spent", "expected", "low", "high")
    amounts = {f"{name}_usd": usd_from_nano(getattr(row, f"{name}_nano")) for name in names}
    plain = (
        "made_at", "window_starts_at", "window_ends_at", "last_on", "runs_out_on",
        "runs_out_earliest", "runs_out_latest", "method", "days_seen",
    )  # fmt: skip
    return {
        "budget": row.budget_id,
        **{name: getattr(row, name) for name in plain},
        **amounts,
        "expected_daily_usd": usd_from_nano(row.daily_nano),
        "safe_daily_usd": usd_from_nano(row.safe_daily_nano),
        "points": [_point(one) for one in row.points],
    }


def _point(one: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"on": one["on"]}
    for name in ("spent", "expected", "low", "high"):
        nano = one.get(name)
        told[f"{name}_usd"] = None if nano is None else usd_from_nano(nano)
    return told
