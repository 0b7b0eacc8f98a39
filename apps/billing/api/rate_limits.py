"""/api/v1/rate-limits: what is used of each quota now, and what they refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.api.fields import StrictSerializer
from apps.accounts.api.rows import REFUSALS, caller_of
from apps.accounts.roles import Capability
from apps.billing import rate_limits
from apps.billing.models import SCOPES, Quota
from apps.billing.rate_limits import Line, Wanted
from chatvault.lib import clock

_LONGEST_H = int(rate_limits.LONGEST / timedelta(hours=1))


class FilterSerializer(StrictSerializer):
    scope = serializers.ChoiceField(choices=SCOPES, required=False, help_text="What they are on.")
    unit = serializers.ChoiceField(choices=Quota.Unit.choices, required=False)
    team = serializers.IntegerField(
        min_value=1, max_value=2**63 - 1, required=False, help_text="Of the team and what is in it."
    )
    observes = serializers.BooleanField(required=False, allow_null=True, default=None)
    search = serializers.CharField(max_length=100, required=False, help_text="Part of a name.")
    hours = serializers.IntegerField(
        min_value=1,
        max_value=_LONGEST_H,
        default=24,
        help_text="How far back refusals are counted.",
    )

    def wanted(self) -> Wanted:
        given = self.validated_data
        return Wanted(
            scope=given.get("scope", ""),
            unit=given.get("unit", ""),
            team_id=given.get("team"),
            observes=given.get("observes"),
            search=given.get("search", ""),
        )

    def since(self) -> datetime:
        return clock.now() - timedelta(hours=self.validated_data["hours"])


class LimitFilterSerializer(FilterSerializer):
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=100)


class LineSerializer(serializers.Serializer[Any]):
    quota = serializers.IntegerField()
    scope = serializers.ChoiceField(choices=SCOPES)
    scope_id = serializers.IntegerField()
    name = serializers.CharField(help_text="Of what the quota is on.")
    unit = serializers.ChoiceField(choices=Quota.Unit.choices)
    window_s = serializers.IntegerField()
    ceiling = serializers.IntegerField(help_text="What holds now.")
    ceiling_ends_at = serializers.DateTimeField(
        allow_null=True, help_text="When a temporary ceiling ends; null: it is the quota's own."
    )
    observes = serializers.BooleanField()
    used = serializers.IntegerField(
        allow_null=True, help_text="null: the counters cannot be asked."
    )
    left = serializers.IntegerField(allow_null=True)
    share = serializers.FloatField(allow_null=True, help_text="Used of the ceiling; 1.0 is all.")
    refused = serializers.IntegerField(help_text="In the hours that were asked for.")
    would_have_refused = serializers.IntegerField()


class HourSerializer(serializers.Serializer[Any]):
    hour = serializers.DateTimeField()
    refused = serializers.DictField(child=serializers.IntegerField(), help_text="By scope.")
    would_have_refused = serializers.DictField(child=serializers.IntegerField())


class Lines(serializers.Serializer[Any]):
    results = LineSerializer(many=True)


class Hours(serializers.Serializer[Any]):
    results = HourSerializer(many=True)


class RateLimitsView(APIView):
    """The quotas that will be reached first, first."""

    capabilities: ClassVar = {"GET": Capability.LIMITS_READ}

    @extend_schema(
        tags=["Rate limits"],
        summary="Use of quotas now, the closest to their ceilings first",
        parameters=[LimitFilterSerializer],
        responses={200: Lines, **REFUSALS},
    )
    def get(self, request: Request) -> Response:
        asked = LimitFilterSerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        found = rate_limits.lines(caller_of(request), asked.wanted(), asked.since())
        rows = [_line(line) for line in found[: asked.validated_data["limit"]]]
        return Response(Lines({"results": rows}).data)


class RefusalsView(APIView):
    """Hour by hour, by what the quotas are on."""

    capabilities: ClassVar = {"GET": Capability.LIMITS_READ}

    @extend_schema(
        tags=["Rate limits"],
        summary="What quotas refused, and would have, over time",
        parameters=[FilterSerializer],
        responses={200: Hours, **REFUSALS},
    )
    def get(self, request: Request) -> Response:
        asked = FilterSerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        found = rate_limits.hours(caller_of(request), asked.wanted(), asked.since())
        rows = [
            {"hour": one.at, "refused": one.refused, "would_have_refused": one.observed}
            for one in found
        ]
        return Response(Hours({"results": rows}).data)


def _line(line: Line) -> dict[str, Any]:
    use, quota = line.use, line.use.quota
    return {
        "quota": quota.pk,
        "scope": quota.kind,
        "scope_id": getattr(quota, f"{quota.kind}_id"),
        "name": str(quota.scope),
        "unit": quota.unit,
        "window_s": quota.window_s,
        "ceiling": use.ceiling,
        "ceiling_ends_at": use.ends_at,
        "observes": quota.observes,
        "used": use.used,
        "left": use.left,
        "share": None if use.used is None else round(use.share, 4),
        "refused": line.sums.refused,
        "would_have_refused": line.sums.observed,
    }
