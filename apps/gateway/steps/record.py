"""Step 8, and the marks on the way: what happened goes to the journal before it goes out."""

from __future__ import annotations

from apps.billing.pricing import Bill
from apps.gateway.contracts import Candidate
from apps.gateway.meter import Meter
from apps.gateway.plane import DataPlane
from apps.usage.journal import AttemptEnd, AttemptStart, Intent, Progress, Settle
from chatvault.lib import clock, failpoints
from chatvault.lib.errors import UpstreamError, UpstreamRefused


def now_ms() -> int:
    return clock.wall_ns() // 1_000_000


def record_attempt(candidate: Candidate, meter: Meter, plane: DataPlane) -> None:
    """Before a byte goes upstream. Raises JournalUnavailable, and then nothing may be sent."""
    price_id = candidate.price.id if candidate.price else 0
    if not meter.is_sent:
        plane.journal.append(_intent_of(meter, candidate.deployment.id, price_id))
    else:
        plane.journal.append(
            AttemptStart(
                request_id=meter.request.id,
                number=meter.attempts + 1,
                at_ms=now_ms(),
                deployment_id=candidate.deployment.id,
                price_id=price_id,
            )
        )
    if failpoints.ARMED:
        failpoints.reach("attempt-written" if meter.is_sent else "intent-written")
    meter.is_sent = True
    meter.attempts += 1
    meter.attempt_at = clock.monotonic()
    meter.first_byte_at = -1.0
    meter.candidate = candidate


def _intent_of(meter: Meter, deployment_id: int, price_id: int) -> Intent:
    """By position: one is made for every request."""
    request, identity = meter.request, meter.identity
    client = identity.client
    return Intent(
        request.id,
        request.accept_ms,
        identity.key.key_id,
        client.id,
        client.team_id,
        client.terms.tier_id,
        client.terms.markup_ppm,
        request.alias,
        request.operation,
        request.stream,
        meter.revision,
        meter.prompt_tokens,
        meter.output_cap,
        meter.reserved_nano,
        meter.headroom.budgets,
        deployment_id,
        price_id,
        request.trace.pack() if request.trace is not None else b"",
        identity.key.user_id,
        identity.key.application_id,
        request.tags,
        client.terms.terms_id,
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
            first_byte_ms=meter.first_byte_ms,
        )
    )
    if failpoints.ARMED:
        failpoints.reach("attempt-ended")


def record_progress(meter: Meter, plane: DataPlane, output_tokens: int) -> None:
    """So that a crash is charged for what was delivered, not for nothing and not for the most."""
    plane.journal.append(
        Progress(request_id=meter.request.id, at_ms=now_ms(), output_tokens=output_tokens)
    )
    if failpoints.ARMED:
        failpoints.reach("progress-written")


def record(meter: Meter, bill: Bill, plane: DataPlane) -> None:
    """Close the books of a request that was sent; nothing is written for one that was not."""
    request, candidate = meter.request, meter.candidate
    if candidate is None:
        return
    latency_s = clock.monotonic() - request.started
    first_token_s = meter.first_token_at - request.started if meter.first_token_at >= 0 else -1.0
    usage = meter.usage
    plane.journal.append(
        Settle(
            request.id,
            now_ms(),
            meter.outcome,
            meter.http_status,
            meter.error_code,
            candidate.deployment.id,
            candidate.price.id if candidate.price else 0,
            usage,
            meter.usage_source,
            bill.cost_nano,
            bill.charged_nano,
            int(latency_s * 1000),
            int(first_token_s * 1000) if first_token_s >= 0 else -1,
            meter.attempts,
            meter.service_tier,
            meter.error_detail,
            meter.first_byte_ms,
        )
    )
    metrics = plane.metrics
    if meter.error_code and (meter.outcome != "error" or meter.usage_source != "none"):
        metrics.attempted(candidate.deployment, meter.error_code)  # else it was when it failed
    metrics.finished(
        request.alias,
        candidate.deployment,
        meter.outcome,
        meter.http_status,
        meter.error_code,
        latency_s,
        first_token_s,
        usage,
        bill.cost_nano,
        bill.charged_nano,
    )
