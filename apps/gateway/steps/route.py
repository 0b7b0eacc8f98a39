"""Step 4. Which deployments to try, in order."""

from __future__ import annotations

from apps.gateway.contracts import Candidate
from apps.gateway.meter import Meter
from apps.gateway.plane import DataPlane
from apps.gateway.strategies import STRATEGIES


def route(meter: Meter, plane: DataPlane) -> list[Candidate]:
    """Healthy candidates in the strategy's order; `call` counts how many it tries.

    When the breaker refuses every one, all are tried (panic mode). A single candidate stands
    twice, so that a passing fault can be retried.
    """
    offer = meter.offer
    candidates = offer.candidates
    if len(candidates) == 1:
        return [candidates[0]] * min(2, plane.options.max_attempts)
    order = STRATEGIES[offer.alias.strategy](candidates, plane.dice)
    healthy = [candidate for candidate in order if plane.breaker.allows(candidate.deployment.id)]
    return healthy or order
