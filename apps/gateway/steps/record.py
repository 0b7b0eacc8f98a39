"""Step 8, and the marks on the way: what happened goes to the journal before it goes out."""

from __future__ import annotations

from apps.billing.pricing import Bill
from apps.gateway.contracts import Candidate
from apps.gateway.meter import Meter
from apps.gateway.plane import DataPlane
from apps.usage.journal import AttemptEnd, AttemptStart, Intent, Progress, Settle
from chatvault.lib import clock
from chatvault.lib.errors import UpstreamError, UpstreamRefused


def now_ms() -> int:
    return clock.wall_ns() // 1_000_000


def record_attempt(candidate: Candidate, meter: Meter, plane: DataPlane) -> None:
    """Before a byte goes upstream. Raises JournalUnavailable, and then nothing may be sent."""
    request = meter.request
    start = AttemptStart(
        request_id=request.id,
        number=meter.attempts + 1,
        at_ms=now_ms(),
        deployment_id=candidate.deployment.id,
        price_id=candidate.price.id if candidate.price else 0,
    )
    if meter.is_sent:
        plane.journal.append(start)
    else:
        plane.journal.append(intent_of(meter), start)
    meter.is_sent = True
    meter.attempts += 1
    meter.candidate = candidate


def intent_of(meter: Meter) -> Intent:
    request, identity = meter.request, meter.identity
    terms = identity.client.terms
    return Intent(
        request_id=request.id,
        at_ms=request.accept_ms,
        key_id=identity.key.key_id,
        client_id=identity.client.id,
        team_id=identity.client.team_id,
        tier_id=terms.tier_id,
        markup_ppm=terms.markup_ppm,
        alias=meter.offer.alias.name,
        operation=request.operation,
        stream=request.stream,
        revision=meter.revision,
        prompt_tokens=meter.prompt_tokens,
        max_output_tokens=meter.output_cap,
        reserved_nano=meter.reserved_nano,
        budgets=meter.headroom.budgets,
    )


def record_end_of_attempt(error: UpstreamError, meter: Meter, plane: DataPlane) -> None:
    status = error.upstream_status if isinstance(error, UpstreamRefused) else 0
    plane.journal.append(
        AttemptEnd(
            request_id=meter.request.id,
            number=meter.attempts,
            at_ms=now_ms(),
            http_status=status,
            error_code=error.public_code,
        )
    )


def record_progress(meter: Meter, plane: DataPlane, output_tokens: int) -> None:
    """So that a crash is charged for what was delivered, not for nothing and not for the most."""
    plane.journal.append(
        Progress(request_id=meter.request.id, at_ms=now_ms(), output_tokens=output_tokens)
    )


def record(meter: Meter, bill: Bill, plane: DataPlane) -> None:
    """Close the books of a request that was sent; nothing is written for one that was not."""
    request, candidate = meter.request, meter.candidate
    finished = clock.monotonic()
    first_token_s = meter.first_token_at - request.started if meter.first_token_at >= 0 else -1.0
    if not meter.is_sent or candidate is None:
        return
    at_ms = now_ms()
    settle = Settle(
        request_id=request.id,
        at_ms=at_ms,
        outcome=meter.outcome,  # type: ignore[arg-type]
        http_status=meter.http_status,
        error_code=meter.error_code,
        deployment_id=candidate.deployment.id,
        price_id=candidate.price.id if candidate.price else 0,
        usage=meter.usage,
        usage_source=meter.usage_source,  # type: ignore[arg-type]
        cost_nano=bill.cost_nano,
        charged_nano=bill.charged_nano,
        latency_ms=int((finished - request.started) * 1000),
        first_token_ms=int(first_token_s * 1000) if first_token_s >= 0 else -1,
        attempts=meter.attempts,
    )
    if meter.outcome == "error" and meter.usage_source == "none":
        plane.journal.append(settle)  # the last attempt has ended already
    else:
        plane.journal.append(_end_of_attempt(meter, at_ms), settle)
        plane.metrics.attempted(candidate.deployment.name, meter.error_code or "ok")
    plane.metrics.finished(
        meter.offer.alias.name,
        meter.error_code or meter.outcome,
        latency_s=finished - request.started,
        first_token_s=first_token_s,
        input_tokens=meter.usage.input_tokens,
        output_tokens=meter.usage.output_tokens,
        charged_nano=bill.charged_nano,
    )


def _end_of_attempt(meter: Meter, at_ms: int) -> AttemptEnd:
    return AttemptEnd(
        request_id=meter.request.id,
        number=meter.attempts,
        at_ms=at_ms,
        http_status=meter.http_status,
        error_code=meter.error_code,
    )
