"""Step 3. Reserve the most that the request can cost, in every scope or in none."""

from __future__ import annotations

import asyncio

import msgspec

from apps.billing import pricing
from apps.billing.limits import Demand, Headroom
from apps.gateway.contracts import GatewayRequest, Headers, Identity, Offer
from apps.gateway.meter import Meter
from apps.gateway.plane import DataPlane, Scopes
from apps.gateway.prompt_size import prompt_size
from apps.gateway.stages import (
    DEGRADED_HEADER,
    WARNING_HEADER,
    Reached,
    cheaper_alias,
    check_pace,
    reached,
    warning,
)
from chatvault.lib import failpoints
from chatvault.lib.errors import BudgetExhausted, NoDeployment, RateLimited, Unpriced

NO_LIMITS = Headroom()


async def admit(
    request: GatewayRequest, identity: Identity, offer: Offer, plane: DataPlane
) -> Meter:
    """An open meter. Raises RateLimited, BudgetHeld (429), BudgetExhausted, Unpriced (402)."""
    scopes = plane.view.scopes_of(identity, offer, request.tags)
    if scopes is not identity.scopes:
        identity = with_budget(identity, scopes)
    offer = affordable(offer, identity)
    prompt, most_prompt = weigh_prompt(request)
    output = most_output(request, offer)
    nano = 0
    headroom = NO_LIMITS
    budget_head: Headers = []
    if scopes:
        terms = identity.client.terms
        if identity.has_budget:
            nano = most_money(offer, terms, prompt=most_prompt, output=output)
        demand = Demand(prompt + output, nano, output)
        try:
            headroom = await plane.limits.reserve(request.id, scopes, demand)
        except BudgetExhausted as error:
            raise error.with_status(plane.options.budget_exhausted_status) from None
        if failpoints.ARMED:
            failpoints.reach("reserved")
        plane.metrics.admitted(headroom)
        if headroom.used:
            offer, output, nano, budget_head = await _heed_stages(
                request, identity, offer, plane, scopes, headroom, (most_prompt, output, nano)
            )
        if headroom.observed:
            plane.quota_counts.observed(of_admins(headroom.observed), plane.view.snapshot)
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
        budget_head=budget_head,
    )


async def _heed_stages(  # noqa: PLR0917
    request: GatewayRequest,
    identity: Identity,
    offer: Offer,
    plane: DataPlane,
    scopes: Scopes,
    headroom: Headroom,
    held: tuple[int, int, int],
) -> tuple[Offer, int, int, Headers]:
    """What stages of budgets make of an admitted request: who serves it, its output tokens and
    nano-USD, and headers that say so. Raises RateLimited, having given back what was held."""
    stages = reached(scopes, headroom)
    if not stages:
        return offer, held[1], held[2], []
    try:
        check_pace(stages, headroom)
        return await _hand_over(request, identity, offer, plane, stages, held)
    except (RateLimited, asyncio.CancelledError):
        await plane.limits.release(request.id)
        raise


async def _hand_over(  # noqa: PLR0917
    request: GatewayRequest,
    identity: Identity,
    offer: Offer,
    plane: DataPlane,
    stages: list[Reached],
    held: tuple[int, int, int],
) -> tuple[Offer, int, int, Headers]:
    """To the cheaper model, where a stage says so and what it can cost can be held. The request
    stays one for the alias that was asked for."""
    most_prompt, output, nano = held
    head = [(WARNING_HEADER, told.encode())] if (told := warning(stages)) else []
    name = cheaper_alias(stages)
    other = plane.view.offer_of(name, identity.client.book_id) if name != request.alias else None
    if other is None or not other.candidates or not other.is_priced:
        return offer, output, nano, head
    most = most_money(other, identity.client.terms, prompt=most_prompt, output=output)
    if most > nano:
        if not await plane.limits.extend(request.id, most - nano):
            return offer, output, nano, head
        nano = most
    head.append((DEGRADED_HEADER, name.encode()))
    served = msgspec.structs.replace(other, alias=offer.alias, limits=offer.limits)
    return served, output, nano, head


def with_budget(identity: Identity, scopes: Scopes) -> Identity:
    """The identity as its request is bound: also by budgets of the model and of tags."""
    if identity.has_budget or not any(scope.budgets for scope in scopes):
        return identity
    return msgspec.structs.replace(identity, has_budget=True)


def of_admins(quota_ids: tuple[int, ...]) -> tuple[int, ...]:
    """Without those that count the pace of stages."""
    return tuple([quota_id for quota_id in quota_ids if quota_id > 0])


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
