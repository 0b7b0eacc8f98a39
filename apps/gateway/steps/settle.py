"""Step 7. What is owed for what was used, at the price of admission. Rounded here, once."""

from __future__ import annotations

from apps.billing import pricing
from apps.gateway.meter import Meter
from apps.gateway.plane import DataPlane

FREE = pricing.Bill(cost_nano=0, charged_nano=0)


def bill_of(meter: Meter) -> pricing.Bill:
    """Zero for what used nothing and for what has no price."""
    candidate = meter.candidate
    if meter.usage_source == "none" or candidate is None or candidate.price is None:
        return FREE
    return pricing.bill(
        meter.usage,
        candidate.price,
        meter.identity.client.terms,
        meter.service_tier,
        at_s=meter.request.accept_ms / 1_000,
    )


async def settle(meter: Meter, bill: pricing.Bill, plane: DataPlane) -> None:
    """Resolve the reservation: book what was used, or give all back if nothing was sent."""
    if meter.provider_hold:
        await plane.provider_limits.settle(meter)
    if plane.provider_limits.left and meter.candidate is not None:
        plane.provider_limits.spend(meter.candidate.deployment.provider_id, bill.cost_nano)
    if not meter.is_limited:
        return
    if not meter.is_sent:
        await plane.limits.release(meter.request.id)
        return
    usage = meter.usage
    await plane.limits.settle(
        meter.request.id,
        tokens=usage.input_tokens + usage.output_tokens,
        nano_usd=bill.charged_nano,
        output_tokens=usage.output_tokens,
    )
