"""/api/v1/what-if: a client's traffic, priced as if something had been otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from datetime import time as clock_time
from typing import Any, ClassVar

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts import permissions, usable_models
from apps.accounts.api.fields import StrictSerializer
from apps.accounts.api.rows import REFUSALS, caller_of
from apps.accounts.models import Client
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.forecasts import asking
from apps.forecasts.models import WhatIf
from chatvault.lib import clock
from chatvault.lib.errors import InvalidField, ModelNotFound
from chatvault.lib.money import usd_from_nano
from chatvault.lib.redact import mask

_MOST_ID = 2**63 - 1


@extend_schema_field(OpenApiTypes.DATETIME)
class InstantField(serializers.Field[Any, Any, Any, Any]):
    """A day, which begins at midnight in UTC, or a time with its zone."""

    def to_internal_value(self, data: Any) -> datetime:
        if isinstance(data, str):
            try:
                if len(data) == 10:
                    day = date.fromisoformat(data)
                    return datetime.combine(day, clock_time(), UTC)
                found = datetime.fromisoformat(data)
                if found.tzinfo is not None:
                    return found.astimezone(UTC)
            except (ValueError, OverflowError):
                pass
        raise serializers.ValidationError("A day (2026-11-01), or a time with its zone.")

    def to_representation(self, value: Any) -> str:
        return str(value.isoformat())


class WhatIfRequestSerializer(StrictSerializer):
    client = serializers.IntegerField(
        min_value=1,
        max_value=_MOST_ID,
        required=False,
        help_text="Whose requests; without it those of the client that asks.",
    )
    only_model = serializers.CharField(
        max_length=150, required=False, default="", help_text="Only requests of this model."
    )
    model = serializers.CharField(
        max_length=150, required=False, help_text="As if this model had answered."
    )
    cached_percent = serializers.IntegerField(
        min_value=0,
        max_value=100,
        required=False,
        help_text="As if at least so much of every prompt had been read from the cache.",
    )
    service_tier = serializers.RegexField(
        r"^[a-z0-9][a-z0-9_.-]{0,31}$",
        required=False,
        default="",
        help_text="As if served in this tier of the provider, such as `batch`.",
    )
    tier = serializers.CharField(
        max_length=100, required=False, help_text="As if in the pricing tier of this name."
    )


# `from` is a word of Python, so these two cannot be written into the class.
WhatIfRequestSerializer._declared_fields |= {
    "from": InstantField(
        required=False, help_text="Requests from then on; the first of this month."
    ),
    "to": InstantField(required=False, help_text="Requests before then; now."),
}


def _usd(**more: Any) -> serializers.DecimalField:
    return serializers.DecimalField(20, 9, **more)


class WhatIfLineSerializer(serializers.Serializer[Any]):
    model = serializers.CharField()
    requests = serializers.IntegerField()
    left_out = serializers.IntegerField(help_text="Of them, those that would have no price.")
    cost_usd = _usd()
    cost_then_usd = _usd(allow_null=True, help_text="null: nothing has a price.")
    charged_usd = _usd()
    charged_then_usd = _usd(allow_null=True)
    difference_usd = _usd(allow_null=True, help_text="Charged then, less charged.")


class WhatIfSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    client = serializers.IntegerField()
    state = serializers.ChoiceField(choices=WhatIf.State.choices)
    words = serializers.CharField(help_text="What is otherwise.")
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    is_exact = serializers.BooleanField(help_text="Row by row; false: from hourly sums.")
    requests = serializers.IntegerField()
    left_out = serializers.IntegerField()
    cost_usd = _usd()
    cost_then_usd = _usd(allow_null=True)
    charged_usd = _usd()
    charged_then_usd = _usd(allow_null=True)
    difference_usd = _usd(allow_null=True)
    lines = WhatIfLineSerializer(many=True)
    notes = serializers.ListField(child=serializers.CharField())


class WhatIfView(APIView):
    """Ask; few rows are answered at once."""

    capabilities: ClassVar = {"POST": Capability.BILLING_READ}

    @extend_schema(
        tags=["Forecasts"],
        summary="What a client's traffic would have cost otherwise",
        description="Up to 2,000 requests are answered at once (201); more are left to a worker "
        "(202): ask for the row until its `state` is `done`.",
        request=WhatIfRequestSerializer,
        responses={201: WhatIfSerializer, 202: WhatIfSerializer, **REFUSALS},
    )
    def post(self, request: Request) -> Response:
        given = WhatIfRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        who = caller_of(request)
        asked = asking.ask(asked=_asked(who, given.validated_data), author=who.name[:150])
        status = 201 if asked.state == WhatIf.State.DONE else 202
        return Response(WhatIfSerializer(told(asked)).data, status=status)


class WhatIfDetailView(APIView):
    capabilities: ClassVar = {"GET": Capability.BILLING_READ}

    @extend_schema(
        tags=["Forecasts"],
        summary="The answer to a what-if",
        responses={200: WhatIfSerializer, **REFUSALS},
    )
    def get(self, request: Request, what_if_id: int) -> Response:
        rows = permissions.limit(WhatIf.objects.all(), caller_of(request))
        row = rows.filter(pk=what_if_id).first() if what_if_id <= _MOST_ID else None
        if row is None:
            raise Http404
        return Response(WhatIfSerializer(told(row)).data)


def _asked(who: Principal, given: Mapping[str, Any]) -> WhatIf:
    """Raises Http404 for foreign clients, ModelNotFound and InvalidField."""
    client_id = given.get("client") or who.client_id
    if client_id is None:
        raise InvalidField("Say whose requests: the id of a client.", param="client")
    client = Client.objects.select_related("team", "tier").filter(pk=client_id).first()
    if client is None or not who.may(Capability.BILLING_READ, client.team_id):
        raise Http404
    first, now = asking.month_of(clock.now())
    asked = WhatIf(
        client=client,
        starts_at=given.get("from") or first,
        ends_at=given.get("to") or now,
        only_alias=given["only_model"],
        cached_percent=given.get("cached_percent"),
        service_tier=given["service_tier"],
    )
    if name := given.get("model"):
        asked.alias = (
            usable_models.aliases_of(who, Capability.BILLING_READ).filter(name=name).first()
        )
        if asked.alias is None:
            raise ModelNotFound(f"The model '{mask(name)}' does not exist.", param="model")
    if name := given.get("tier"):
        asked.tier = asking.tiers_for(who).filter(name=name).first()
        if asked.tier is None:
            raise InvalidField("There is no such pricing tier.", param="tier")
    return asked


def told(row: WhatIf) -> dict[str, Any]:
    """The row as the API tells it."""
    plain = ("id", "state", "words", "starts_at", "ends_at", "is_exact", "requests", "left_out")
    names = ("cost_now", "cost_then", "charged_now", "charged_then")
    amounts = {name: getattr(row, f"{name}_nano") for name in names}
    return {
        "client": row.client_id,
        **{name: getattr(row, name) for name in plain},
        **_amounts(amounts),
        "lines": [
            {name: line[name] for name in ("model", "requests", "left_out")} | _amounts(line)
            for line in row.lines
        ],
        "notes": row.notes,
    }


def _amounts(nano: Mapping[str, Any]) -> dict[str, Any]:
    then = nano["charged_then"]
    return {
        "cost_usd": usd_from_nano(nano["cost_now"]),
        "cost_then_usd": _known(nano["cost_then"]),
        "charged_usd": usd_from_nano(nano["charged_now"]),
        "charged_then_usd": _known(then),
        "difference_usd": None if then is None else usd_from_nano(then - nano["charged_now"]),
    }


def _known(nano: int | None) -> Any:
    return None if nano is None else usd_from_nano(nano)
