"""/api/v1/usage/summary"""

from __future__ import annotations

from typing import Any

from django.utils.decorators import method_decorator
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.api.rows import REFUSALS, caller_of
from apps.usage.api.access import OwnUsage
from apps.usage.api.asked import SummarySerializer, refusal
from apps.usage.reports import summary as reports
from apps.usage.reports.names import names_of
from apps.usage.reports.query import IDS, BadQuery, Dimension, name_of
from apps.usage.reports.scopes import scope_of
from apps.usage.reports.summary import Figures, Summary
from apps.usage.reports.tables import TOKENS
from chatvault.lib import replica
from chatvault.lib.money import usd_from_nano

_COUNTS = ("requests", "errors", *TOKENS, "images", "searches")


class LatencySerializer(serializers.Serializer[Any]):
    mean = serializers.IntegerField(allow_null=True)
    p50 = serializers.IntegerField(allow_null=True)
    p95 = serializers.IntegerField(allow_null=True)
    p99 = serializers.IntegerField(allow_null=True)


def _count(text: str = "") -> serializers.IntegerField:
    return serializers.IntegerField(allow_null=True, help_text=text)


def _money(text: str) -> serializers.CharField:
    return serializers.CharField(allow_null=True, help_text=text)


class FiguresSerializer(serializers.Serializer[Any]):
    """null: there is no data, which is not the same as 0."""

    requests = _count()
    errors = _count("Failed or interrupted.")  # type: ignore[assignment]
    input_tokens = _count("All of the prompt, parts included.")
    output_tokens = _count("All of the answer, parts included.")
    cached_input_tokens = _count()
    cache_write_tokens = _count()
    cache_write_1h_tokens = _count()
    reasoning_tokens = _count()
    audio_input_tokens = _count()
    audio_output_tokens = _count()
    image_input_tokens = _count()
    image_output_tokens = _count()
    images = _count()
    searches = _count()
    cost = _money("USD, at the provider's prices, with adjustments; exact.")
    charged = _money("USD, to the client, with adjustments; exact.")
    margin = _money("USD: charged less cost.")
    adjusted = _money("USD: what adjustments are of `charged`.")
    latency_ms = LatencySerializer(help_text="Until the last byte.")
    first_token_ms = LatencySerializer(help_text="Of streams.")


class SummaryLineSerializer(FiguresSerializer):
    bucket = serializers.DateTimeField(allow_null=True, help_text="When it begins, in the zone.")
    group = serializers.DictField(
        child=serializers.JSONField(), help_text="By dimension: an id, or a text."
    )
    names = serializers.DictField(
        child=serializers.CharField(allow_blank=True), help_text="What the ids are called now."
    )


class SummaryAnswer(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    time_zone = serializers.CharField()
    rows_since = serializers.DateTimeField(
        allow_null=True,
        help_text="Rows from before are gone. Edges there are those of full hours in UTC.",
    )
    total = FiguresSerializer(help_text="Of all requests; one with two tags counts once.")
    results = SummaryLineSerializer(many=True)


@method_decorator(replica.tolerant, name="dispatch")
class SummaryView(OwnUsage, APIView):
    """Sums of requests, by up to two dimensions and by time."""

    @extend_schema(
        operation_id="usageSummary",
        tags=["Usage"],
        summary="Requests, tokens, money and latency by any two dimensions and by time",
        parameters=[SummarySerializer],
        responses={200: SummaryAnswer, **REFUSALS},
    )
    def get(self, request: Request) -> Response:
        query = SummarySerializer.of(request.query_params).query(scope_of(caller_of(request)))
        try:
            found = reports.summary(query)
        except BadQuery as bad:
            raise refusal(bad) from None
        return Response(as_json(found))


def as_json(found: Summary) -> dict[str, Any]:
    query = found.query
    names = {
        dimension: names_of(dimension, (line.values[place] for line in found.lines))
        for place, dimension in enumerate(query.group_by)
        if dimension in IDS
    }
    return {
        "start": query.start.astimezone(query.zone).isoformat(),
        "end": query.end.astimezone(query.zone).isoformat(),
        "time_zone": name_of(query.zone),
        "rows_since": found.rows_since and found.rows_since.isoformat(),
        "total": figures_of(found.total),
        "results": [
            {
                "bucket": line.period.label and line.period.label.isoformat(),
                "group": dict(zip(map(str, query.group_by), line.values, strict=True)),
                "names": _named(names, query.group_by, line.values),
                **figures_of(line.figures),
            }
            for line in found.lines
        ],
    }


def _named(
    names: dict[Dimension, dict[Any, str]], group_by: tuple[Dimension, ...], values: Any
) -> dict[str, str]:
    pairs = zip(group_by, values, strict=True)
    return {str(each): names[each].get(value, "") for each, value in pairs if each in names}


def figures_of(figures: Figures) -> dict[str, Any]:
    adjusted = None if figures.is_empty else figures.adjusted_charged_nano
    return {name: figures.of(name) for name in _COUNTS} | {
        "cost": usd(figures.cost_nano),
        "charged": usd(figures.charged_nano),
        "margin": usd(figures.margin_nano),
        "adjusted": usd(adjusted),
        "latency_ms": _latency(figures, "latency", figures.total),
        "first_token_ms": _latency(figures, "first_token", figures.first),
    }


def _latency(figures: Figures, kind: str, histogram: Any) -> dict[str, int | None]:
    parts = {f"p{percent}": histogram.percentile(percent) for percent in (50, 95, 99)}
    return {"mean": figures.mean_ms(kind), **parts}


def usd(nano: int | None) -> str | None:
    """All nine places, so that it is exact and sorts as it reads."""
    return None if nano is None else f"{usd_from_nano(nano):.9f}"
