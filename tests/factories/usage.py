from __future__ import annotations

from typing import Any

from apps.usage.models import Attempt, HourlyRollup, RequestLog
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
