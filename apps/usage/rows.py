"""What one settled request becomes in the database: plain rows, ready to be inserted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import json

from apps.billing.budget_windows import Charge
from apps.billing.ledger import LedgerRow, Parties, as_text, charge_entries
from apps.billing.pricing import MAX_TOKENS, valid_usage
from apps.providers.adapters.contract import Usage
from apps.usage.names import Names
from apps.usage.open_requests import Closed, OpenRequest
from apps.usage.records import Intent, Tags

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class RequestRow(msgspec.Struct, frozen=True):
    """A row of RequestLog: fields are its columns, times are text in UTC."""

    request_id: str
    started_at: str
    team_id: int
    client_id: int
    key_id: int
    team_name: str
    client_name: str
    key_name: str
    alias: str
    deployment_id: int | None
    deployment_name: str
    provider_name: str
    operation: str
    is_stream: bool
    outcome: str
    http_status: int
    error_code: str
    usage_source: str
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    reasoning_tokens: int
    audio_input_tokens: int
    audio_output_tokens: int
    cost_nano: int
    charged_nano: int
    upper_bound_nano: int | None
    price_id: int | None
    tier_id: int | None
    revision: int
    latency_ms: int | None
    first_token_ms: int | None
    attempts: int
    user_id: int | None = None
    user_name: str = ""
    application_id: int | None = None
    provider_id: int | None = None
    tags: str | None = None  # a JSON object
    service_tier: str = ""
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    duration_ms: int = 0
    searches: int = 0
    terms_id: int | None = None
    markup_ppm: int | None = None
    error_detail: str = ""
    cache_status: str = ""
    experiment_arm: str = ""


class AttemptRow(msgspec.Struct, frozen=True):
    """A row of Attempt."""

    request_id: str
    number: int
    deployment_id: int
    started_at: str
    duration_ms: int | None
    http_status: int | None
    error_code: str
    provider_id: int | None = None
    first_byte_ms: int | None = None


def text_of(at_ms: int) -> str:
    """An instant as the databases compare it."""
    at_s, millis = divmod(at_ms, 1000)
    return f"{_second(at_s)}.{millis:03d}000" if millis else _second(at_s)


@lru_cache(64)
def _second(at_s: int) -> str:
    return as_text(_EPOCH + timedelta(seconds=at_s))


def request_row(closed: Closed, names: Names) -> RequestRow:
    """The row of a settled request. Counts that no provider can mean are brought into bounds."""
    intent, settle = closed.request.intent, closed.settle
    usage = settle.usage if valid_usage(settle.usage) else _clamped(settle.usage)
    deployment_name, provider_name = names.deployment(settle.deployment_id)
    is_interrupted = settle.outcome == "interrupted"
    return RequestRow(
        request_id=intent.request_id.hex(),
        started_at=text_of(intent.at_ms),
        team_id=intent.team_id,
        client_id=intent.client_id,
        key_id=intent.key_id,
        team_name=names.team(intent.team_id),
        client_name=names.client(intent.client_id),
        key_name=names.key(intent.key_id),
        alias=intent.alias,
        deployment_id=settle.deployment_id or None,
        deployment_name=deployment_name,
        provider_name=provider_name,
        operation=intent.operation,
        is_stream=intent.stream,
        outcome=settle.outcome,
        http_status=settle.http_status,
        error_code=settle.error_code,
        usage_source=settle.usage_source,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        audio_input_tokens=usage.audio_input_tokens,
        audio_output_tokens=usage.audio_output_tokens,
        cost_nano=settle.cost_nano,
        charged_nano=settle.charged_nano,
        upper_bound_nano=closed.upper_nano,
        price_id=settle.price_id or None,
        tier_id=intent.tier_id or None,
        revision=intent.revision,
        latency_ms=None if is_interrupted else settle.latency_ms,
        first_token_ms=settle.first_token_ms if settle.first_token_ms >= 0 else None,
        attempts=settle.attempts,
        user_id=intent.user_id or None,
        user_name=names.user(intent.user_id),
        application_id=intent.application_id or None,
        provider_id=names.provider_id(settle.deployment_id),
        tags=_as_json(intent.tags) if intent.tags else None,
        service_tier=settle.service_tier,
        image_input_tokens=usage.image_input_tokens,
        image_output_tokens=usage.image_output_tokens,
        images=usage.images,
        duration_ms=usage.duration_ms,
        searches=usage.searches,
        terms_id=intent.terms_id or None,
        markup_ppm=intent.markup_ppm,
        error_detail=settle.error_detail,
    )


@lru_cache(256)
def _as_json(tags: Tags) -> str:
    return json.encode(dict(tags)).decode()


def attempt_rows(request: OpenRequest, names: Names) -> list[AttemptRow]:
    request_id = request.intent.request_id.hex()
    rows = []
    for number, start in request.starts.items():
        end = request.ends.get(number)
        rows.append(
            AttemptRow(
                request_id=request_id,
                number=number,
                deployment_id=start.deployment_id,
                started_at=text_of(start.at_ms),
                duration_ms=_duration(start.at_ms, end.at_ms) if end else None,
                http_status=(end.http_status or None) if end else None,
                error_code=end.error_code if end else "",
                provider_id=names.provider_id(start.deployment_id),
                first_byte_ms=end.first_byte_ms if end and end.first_byte_ms >= 0 else None,
            )
        )
    return rows


def parties_of(row: RequestRow) -> Parties:
    return Parties(
        row.request_id,
        row.client_id,
        row.team_id,
        row.key_id,
        row.provider_name,
        row.started_at,
        row.user_id,
        row.alias,
        row.provider_id,
        row.tags,
    )


def ledger_rows(row: RequestRow, created_at: str) -> list[LedgerRow]:
    """The client's entry first: it decides whether the request is booked already."""
    return charge_entries(
        parties_of(row),
        cost_nano=row.cost_nano,
        charged_nano=row.charged_nano,
        created_at=created_at,
    )


def charge_of(row: RequestRow, intent: Intent) -> Charge:
    return Charge(
        row.team_id,
        row.client_id,
        row.key_id,
        intent.at_ms // 1000,
        row.charged_nano,
        row.user_id or 0,
        row.alias,
        row.provider_id or 0,
        intent.tags,
        row.cost_nano,
    )


def _duration(start_ms: int, end_ms: int) -> int:
    """Never negative, also when the clock was set back in between."""
    return min(max(end_ms - start_ms, 0), 2**31 - 1)


def _clamped(usage: Usage) -> Usage:
    """Counts that no provider can mean, brought into the bounds of their columns."""
    counts = msgspec.structs.astuple(usage)
    return Usage(*(min(max(count, 0), MAX_TOKENS) for count in counts))
