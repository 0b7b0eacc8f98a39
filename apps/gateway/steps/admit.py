"""Step 3. Reserve the most that the request can cost, in every scope or in none."""

from __future__ import annotations

import msgspec

from apps.billing import pricing
from apps.billing.limits import Demand, Headroom
from apps.gateway.contracts import GatewayRequest, Identity, Offer
from apps.gateway.meter import Meter
from apps.gateway.plane import DataPlane
from apps.gateway.prompt_size import prompt_size
from chatvault.lib import failpoints
from chatvault.lib.errors import BudgetExhausted, NoDeployment, Unpriced

NO_LIMITS = Headroom()


async def admit(
    request: GatewayRequest, identity: Identity, offer: Offer, plane: DataPlane
) -> Meter:
    """An open meter. Raises RateLimited, BudgetHeld (429), BudgetExhausted, Unpriced (402)."""
    offer = affordable(offer, identity)
    prompt, most_prompt = weigh_prompt(request)
    output = most_output(request, offer)
    nano = 0
    headroom = NO_LIMITS
    scopes = plane.view.scopes_of(identity, offer)
    if scopes:
        if identity.has_budget:
            terms = identity.client.terms
            nano = most_money(offer, terms, prompt=most_prompt, output=output)
        demand = Demand(prompt + output, nano, output)
        try:
            headroom = await plane.limits.reserve(request.id, scopes, demand)
        except BudgetExhausted as error:
            raise error.with_status(plane.options.budget_exhausted_status) from None
        if failpoints.ARMED:
            failpoints.reach("reserved")
        plane.metrics.admitted(headroom)
        if headroom.observed:
            plane.quota_counts.observed(headroom.observed, plane.view.snapshot)
    return Meter(
        request,
        identity,
        offer,
        headroom,
        plane.view.snapshot.version,
        prompt,
        output,
        nano,
        bool(scopes),
    )


def weigh_prompt(request: GatewayRequest) -> tuple[int, int]:
    """The estimated tokens of the prompt, and the most that they can be."""
    if request.operation == "chat":
        return prompt_size(request.body)
    size = len(request.body)
    return pricing.estimate_prompt_tokens(size), size


def affordable(offer: Offer, identity: Identity) -> Offer:
    """With a budget only priced candidates count; none priced is refused, never free."""
    if not offer.candidates:
        raise NoDeployment(f"The model '{offer.alias.name}' has no active deployment.")
    if offer.is_priced or not identity.has_budget:
        return offer
    priced = tuple(candidate for candidate in offer.candidates if candidate.price)
    if not priced:
        raise Unpriced(
            f"The model '{offer.alias.name}' has no price, so a client with a budget may not use "
            "it. An admin can add one to the client's price book.",
            param="model",
        )
    return msgspec.structs.replace(offer, candidates=priced, is_priced=True)


def most_output(request: GatewayRequest, offer: Offer) -> int:
    """Output tokens of all choices: as the client capped them, or as the models can."""
    if request.operation == "embeddings":
        return 0
    return (request.max_output_tokens or offer.most_output) * request.choices


def most_money(offer: Offer, terms: pricing.Terms, *, prompt: int, output: int) -> int:
    """Nano-USD at the dearest candidate."""
    worst = 0
    for candidate in offer.candidates:
        assert candidate.price is not None
        nano = pricing.worst_case(
            prompt_tokens=prompt, max_output_tokens=output, price=candidate.price, terms=terms
        )
        worst = max(worst, nano)
    return worst
