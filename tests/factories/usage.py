from __future__ import annotations

from typing import Any

from apps.usage.models import Attempt, HourlyRollup, LatencyHour, RequestLog, TagHour
from chatvault.lib import clock, ids
from tests.factories.numbers import unique


def make_request(**fields: Any) -> RequestLog:
    """An answered chat of now that used 10 tokens in and 5 out."""
    defaults = {
        "request_id": ids.uuid7(),
        "started_at": clock.now(),
        "team_id": 1,
        "client_id": 1,
        "key_id": 1,
        "alias": "gpt-4o-mini",
        "operation": "chat",
        "outcome": RequestLog.Outcome.OK,
        "http_status": 200,
        "usage_source": RequestLog.UsageSource.PROVIDER,
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_nano": 4_500,
        "charged_nano": 4_500,
        "revision": 1,
        "latency_ms": 120,
        "attempts": 1,
    }
    return RequestLog.objects.create(**defaults | fields)


def make_attempt(**fields: Any) -> Attempt:
    defaults = {
        "request_id": ids.uuid7(),
        "number": 1,
        "deployment_id": 1,
        "started_at": clock.now(),
        "duration_ms": 100,
        "http_status": 200,
    }
    return Attempt.objects.create(**defaults | fields)


def make_rollup(**fields: Any) -> HourlyRollup:
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    defaults = {
        "hour": hour, "team_id": 1, "client_id": 1, "key_id": 1, "alias": unique("alias"),
        "requests": 1, "input_tokens": 10, "output_tokens": 5,
    }  # fmt: skip
    return HourlyRollup.objects.create(**defaults | fields)


def make_tag_hour(**fields: Any) -> TagHour:
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    defaults = {
        "hour": hour, "tag": unique("tag") + "=x", "team_id": 1, "client_id": 1,
        "alias": "gpt-4o-mini", "requests": 1, "input_tokens": 10, "output_tokens": 5,
    }  # fmt: skip
    return TagHour.objects.create(**defaults | fields)


def make_latency_hour(**fields: Any) -> LatencyHour:
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    defaults = {
        "hour": hour, "team_id": 1, "client_id": 1, "alias": unique("alias"),
        "kind": LatencyHour.Kind.TOTAL, "bucket": 50, "count": 1,
    }  # fmt: skip
    return LatencyHour.objects.create(**defaults | fields)


def make_full_request(**fields: Any) -> RequestLog:
    """One with a value in every column that may be empty."""
    defaults = {
        "team_name": "research", "client_name": "notebook", "key_name": "ci", "deployment_id": 1,
        "deployment_name": "gpt-4o-mini@openai", "provider_name": "openai", "provider_id": 1,
        "outcome": RequestLog.Outcome.ERROR, "http_status": 502, "error_code": "upstream_broken",
        "error_detail": "UpstreamBroken upstream_broken", "cached_input_tokens": 4,
        "cache_write_tokens": 2, "cache_write_1h_tokens": 1, "reasoning_tokens": 1,
        "audio_input_tokens": 1, "audio_output_tokens": 1, "image_input_tokens": 2,
        "image_output_tokens": 1, "images": 1, "duration_ms": 1_500, "searches": 2,
        "price_id": 1, "tier_id": 1, "terms_id": 1, "markup_ppm": 100_000, "first_token_ms": 80,
        "user_id": 1, "user_name": "ada", "application_id": 1, "service_tier": "flex",
        "tags": {"env": "prod", "project": "atlas"}, "cache_status": RequestLog.CacheStatus.MISS,
        "experiment_arm": "b", "upper_bound_nano": 9_000,
    }  # fmt: skip
    return make_request(**defaults | fields)
