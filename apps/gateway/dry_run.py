"""Instead of steps 3 to 8: what the request would cost, whether it would be allowed, and who would
answer it. Nothing is reserved, sent, journaled or charged."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from apps.billing import pricing
from apps.billing.limits import Demand, Headroom
from apps.billing.limits.headers import SCOPE_HEADER
from apps.gateway.contracts import Candidate, GatewayRequest, Headers, Identity, Offer, Outlet
from apps.gateway.plane import DataPlane
from apps.gateway.reply import JSON, common_head, request_id_text, usd_text
from apps.gateway.stages import Reached, cheaper_alias, check_pace, reached, warning
from apps.gateway.steps.admit import affordable, most_money, most_output, weigh_prompt, with_budget
from apps.gateway.strategies import ORDERED
from apps.providers.adapters.contract import Usage
from chatvault.lib.errors import ChatVaultError, ProviderBudgetExhausted, RateLimited

OBJECT: Final = "chatvault.dry_run"
_SCOPES: Final = re.compile(r"(requests|tokens)=(\w+)")
_DURATION: Final = re.compile(r"([\d.]+)(ms|[hms])")
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


async def dry_run(
    request: GatewayRequest, identity: Identity, offer: Offer, plane: DataPlane, outlet: Outlet
) -> None:
    """Answer with the document. Raises RateLimited for a client that asks too often, and
    LimitsUnavailable while nobody can say what is left."""
    plane.dry_runs.take(identity.client.id)
    body = msgspec.json.encode(await describe(request, identity, offer, plane))
    head: Headers = common_head(request)
    head.append(JSON)
    head.append((b"content-length", b"%d" % len(body)))
    await outlet.start(200, head)
    await outlet.end(body)


async def describe(
    request: GatewayRequest, identity: Identity, offer: Offer, plane: DataPlane
) -> dict[str, Any]:
    """The document `chatvault.dry_run`, as docs/estimates-and-forecasts.md tells it."""
    prompt, most_prompt = weigh_prompt(request)
    output = most_output(request, offer)
    least_output = 0 if request.operation == "embeddings" else request.choices
    nano: int | None = None
    headroom, refusal = Headroom(), None
    stages: list[Reached] = []
    scopes = plane.view.scopes_of(identity, offer, request.tags)
    if scopes is not identity.scopes:
        identity = with_budget(identity, scopes)
    try:
        offer = affordable(offer, identity)
        if identity.has_budget:
            terms = identity.client.terms
            nano = most_money(offer, terms, prompt=most_prompt, output=output)
        if scopes:
            headroom = await plane.limits.peek(scopes, Demand(prompt + output, nano or 0, output))
            stages = reached(scopes, headroom)
            check_pace(stages, headroom)
    except ChatVaultError as error:
        if error.http_status >= 500 and error.public_code != "no_deployment":
            raise
        refusal = error
    sizes = (prompt, most_prompt, least_output, output)
    deployments, full = await _deployments(offer, identity, sizes, plane)
    refusal = refusal or full
    charges = [one["charge"] for one in deployments if one["charge"] is not None]
    return {
        "object": OBJECT,
        "id": request_id_text(request.id).decode(),
        "model": offer.alias.name,
        "allowed": refusal is None,
        "refusal": _told(refusal, plane) if refusal is not None else None,
        "tokens": {
            "input": {"expected": prompt, "max": most_prompt},
            "output": {"min": least_output, "max": output},
        },
        "charge": _range(charges),
        "is_priced": bool(deployments) and len(charges) == len(deployments),
        "reserves_usd": None if nano is None else usd_text(nano).decode(),
        "limits": limits_told(headroom) if refusal is None else limits_of(refusal),
        "budget_warning": warning(stages) or None,
        "cheaper_model": cheaper_alias(stages) or None,
        "strategy": offer.alias.strategy,
        "max_attempts": plane.options.max_attempts,
        "deployments": deployments,
        "configuration": plane.view.snapshot.version,
    }


def charge_range(
    candidate: Candidate, terms: pricing.Terms, sizes: tuple[int, int, int, int]
) -> tuple[int, int] | None:
    """The least and the most, in nano-USD, that the client would be charged; None: no price."""
    if candidate.price is None:
        return None
    prompt, most_prompt, least_output, output = sizes
    usage = Usage(input_tokens=prompt, output_tokens=min(least_output, output))
    most = pricing.worst_case(
        prompt_tokens=most_prompt, max_output_tokens=output, price=candidate.price, terms=terms
    )
    least = pricing.bill(usage, candidate.price, terms).charged_nano
    return min(least, most), most


async def _deployments(
    offer: Offer, identity: Identity, sizes: tuple[int, int, int, int], plane: DataPlane
) -> tuple[list[dict[str, Any]], ChatVaultError | None]:
    """In the order in which they would be tried, and the refusal where no provider has room."""
    demand = Demand(sizes[0] + sizes[3], 0, sizes[3])
    order = in_order(offer)
    healthy = [one for one in order if not plane.breaker.is_open(one.deployment.id)]
    total = sum(one.weight for one in order)
    told: list[dict[str, Any]] = []
    refusals: list[ChatVaultError] = []
    for candidate in order:
        refusal = await _refusal_of(candidate, demand, plane)
        if refusal is not None:
            refusals.append(refusal)
        found = charge_range(candidate, identity.client.terms, sizes)
        share = 0.0
        if offer.alias.strategy != ORDERED and total:
            share = round(candidate.weight / total, 4)
        told.append(
            {
                "order": len(told) + 1,
                "deployment": candidate.deployment.name,
                "share": share if offer.alias.strategy != ORDERED else None,
                "is_resting": bool(healthy) and candidate not in healthy,
                "has_room": refusal is None,
                "price_version": candidate.price.id if candidate.price is not None else None,
                "charge": _usd_range(found) if found is not None else None,
            }
        )
    return told, refusals[0] if order and len(refusals) == len(order) else None


def in_order(offer: Offer) -> list[Candidate]:
    """As the strategy tries them; where dice decide, the likeliest first."""
    if offer.alias.strategy == ORDERED:
        return list(offer.candidates)
    return sorted(offer.candidates, key=lambda candidate: -candidate.weight)


async def _refusal_of(
    candidate: Candidate, demand: Demand, plane: DataPlane
) -> ChatVaultError | None:
    """Of the provider's own budgets and quotas, where it has any."""
    if plane.provider_limits.is_spent_out(candidate.deployment.provider_id):
        return ProviderBudgetExhausted()
    if not candidate.scopes:
        return None
    try:
        await plane.limits.peek(candidate.scopes, demand)
    except RateLimited as refusal:
        return refusal
    return None


def _told(error: ChatVaultError, plane: DataPlane) -> dict[str, Any]:
    """What the real call would be answered, and whose limit it is."""
    status = error.http_status
    if error.public_code == "budget_exhausted":
        status = plane.options.budget_exhausted_status
    wait = error.headers.get("retry-after")
    return {
        "status": status,
        **error.openai()["error"],
        "scope": error.scope or None,
        "retry_after_s": int(wait) if wait is not None else None,
    }


def limits_told(headroom: Headroom) -> dict[str, Any]:
    """What the tightest limit of each unit leaves before the request; null: there is none."""
    requests = tokens = None
    if headroom.limit_requests is not None:
        requests = {
            "scope": headroom.scope_requests,
            "limit": headroom.limit_requests,
            "remaining": headroom.remaining_requests,
            "reset_s": round(headroom.reset_requests_s or 0, 3),
        }
    if headroom.limit_tokens is not None:
        tokens = {
            "scope": headroom.scope_tokens,
            "limit": headroom.limit_tokens,
            "remaining": headroom.remaining_tokens,
            "reset_s": round(headroom.reset_tokens_s or 0, 3),
        }
    return {"requests": requests, "tokens": tokens}


def limits_of(refusal: ChatVaultError) -> dict[str, Any]:
    """The same of what was refused, as its headers tell it."""
    headers = refusal.headers
    scopes = dict(_SCOPES.findall(headers.get(SCOPE_HEADER, "")))
    told: dict[str, Any] = {}
    for unit in ("requests", "tokens"):
        limit = headers.get(f"x-ratelimit-limit-{unit}")
        told[unit] = limit and {
            "scope": scopes.get(unit, refusal.scope),
            "limit": int(limit),
            "remaining": int(headers[f"x-ratelimit-remaining-{unit}"]),
            "reset_s": _seconds(headers[f"x-ratelimit-reset-{unit}"]),
        }
    return told


def _seconds(duration: str) -> float:
    """`1h0m3s` or `250ms`, as `limits.headers.go_duration` writes it."""
    return sum(float(count) * _UNITS[unit] for count, unit in _DURATION.findall(duration))


def _usd_range(found: tuple[int, int]) -> dict[str, str]:
    return {"min_usd": usd_text(found[0]).decode(), "max_usd": usd_text(found[1]).decode()}


def _range(charges: list[dict[str, str]]) -> dict[str, str] | None:
    """Over all deployments that have a price; None where none has."""
    if not charges:
        return None
    return {
        "min_usd": min((one["min_usd"] for one in charges), key=_size),
        "max_usd": max((one["max_usd"] for one in charges), key=_size),
    }


def _size(usd: str) -> tuple[int, str]:
    """Texts of nine places each, so that the longer is the larger."""
    return len(usd), usd
