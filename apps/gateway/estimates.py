"""What requests would cost a client on each model that it may use, before one is sent.

Sizes, offers and prices come from the functions of the gateway itself, so that the most of an
estimate is what admission would reserve.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from statistics import median_high
from typing import Final, NamedTuple

from django.conf import settings

from apps.accounts.models import ApiKey, Client
from apps.billing import pricing
from apps.gateway.contracts import Candidate, GatewayRequest, Offer
from apps.gateway.dry_run import in_order
from apps.gateway.plane import PlaneOptions, View
from apps.gateway.snapshot.build import build_for
from apps.gateway.snapshot.model import Client as Rules
from apps.gateway.steps.admit import most_output, weigh_prompt
from apps.providers.adapters.contract import Endpoint, Usage
from apps.usage.models import RequestLog
from chatvault.lib import clock
from chatvault.lib.errors import InvalidField, ModelNotAllowed, ModelNotFound
from chatvault.lib.redact import mask

LOOKED_BACK: Final = timedelta(days=30)
ROWS: Final = 2_000  # the latest of the client
ROWS_A_MODEL: Final = 200
LEAST_ROWS: Final = 3  # fewer say nothing


class Wish(NamedTuple):
    """Token counts as given, each the least, the expected and the most. `output` None: it is not
    known, so it is looked up in the history. `parts` are classes within them, and pieces."""

    input: tuple[int, int, int]
    output: tuple[int, int, int] | None
    parts: dict[str, int]
    service_tier: str = ""

    def usage(self, place: int, output_tokens: int) -> Usage:
        """Raises InvalidField for counts that no request can have."""
        return checked(
            Usage(input_tokens=self.input[place], output_tokens=output_tokens, **self.parts)
        )

    @property
    def least_output(self) -> int:
        if self.output is not None:
            return self.output[0]
        named = ("reasoning_tokens", "audio_output_tokens", "image_output_tokens")
        return max(1, sum(self.parts.get(name, 0) for name in named))


class Amounts(NamedTuple):
    """Nano-USD; `expected` None: nothing is known of how long answers are."""

    least: int
    expected: int | None
    most: int


class Estimate(NamedTuple):
    """Of one deployment. `cost` and `charge` None: it has no price."""

    candidate: Candidate
    cost: Amounts | None
    charge: Amounts | None
    lines: list[pricing.Line]


class History(NamedTuple):
    """How long answers of the client on this model were, of so many requests."""

    requests: int
    output_tokens: int


class ModelEstimate(NamedTuple):
    offer: Offer
    expected_input: int
    most_input: int
    least_output: int
    expected_output: int | None
    most_output: int
    history: History | None
    deployments: list[Estimate]


class Catalogue:
    """What one client is offered, and which of it a credential may use."""

    def __init__(self, client: Client, key_id: int | None = None) -> None:
        snapshot = build_for(client)
        self.rules: Rules = snapshot.clients[client.pk]
        endpoints = {
            one.id: Endpoint(one.family, one.base_url, one.model, None, one.options)
            for one in snapshot.deployments.values()
        }
        options = PlaneOptions(
            pepper=b"",
            default_max_output_tokens=settings.CHATVAULT.gateway.default_max_output_tokens,
        )
        self._view = View(snapshot, endpoints, options)
        self._of_key = _aliases_of(key_id)

    @property
    def revision(self) -> int:
        return self._view.snapshot.version

    def names(self) -> list[str]:
        return [name for name in sorted(self._view.snapshot.aliases) if self._may(name)]

    def offer(self, name: str) -> Offer:
        """Raises ModelNotFound or ModelNotAllowed, as a real call does."""
        offer = self._view.offer_of(name, self.rules.book_id)
        if offer is None:
            raise ModelNotFound(
                f"The model '{mask(name)}' does not exist. GET /v1/models lists those that the "
                "key may use.",
                param="model",
            )
        if not self._may(name):
            raise ModelNotAllowed(f"The key may not use the model '{name}'.", param="model")
        return offer

    def _may(self, name: str) -> bool:
        """As `steps.authenticate.may_use` judges."""
        of_client = self.rules.aliases
        return (of_client is None or name in of_client) and (
            self._of_key is None or name in self._of_key
        )


def of_request(
    request: GatewayRequest, names: list[str], catalogue: Catalogue, service_tier: str = ""
) -> list[ModelEstimate]:
    """What a body would cost on each of the models, at the sizes of admission."""
    prompt, most_prompt = weigh_prompt(request)
    least_output = 0 if request.operation == "embeddings" else request.choices
    offers = [catalogue.offer(name) for name in names]
    histories = histories_of(catalogue.rules.id, names) if least_output else {}
    found = []
    for name, offer in zip(names, offers, strict=True):
        most = most_output(request, offer)
        history = histories.get(name)
        expected = 0 if not least_output else None
        if history is not None:
            expected = min(max(history.output_tokens, least_output), most)
        sizes = (prompt, most_prompt, min(least_output, most), expected, most)
        found.append(_of_sizes(offer, catalogue.rules, sizes, history, service_tier))
    return found


def of_counts(wish: Wish, names: list[str], catalogue: Catalogue) -> list[ModelEstimate]:
    """What these counts would cost on each of the models."""
    offers = [catalogue.offer(name) for name in names]
    histories = histories_of(catalogue.rules.id, names) if wish.output is None else {}
    found = []
    for name, offer in zip(names, offers, strict=True):
        history = histories.get(name)
        least = wish.least_output
        expected: int | None
        if wish.output is not None:
            _, expected, most = wish.output
        else:
            most = max(offer.most_output, least)
            expected = min(max(history.output_tokens, least), most) if history else None
        usages = (
            wish.usage(0, least),
            wish.usage(1, expected) if expected is not None else None,
            wish.usage(2, most),
        )
        found.append(_of_usages(offer, catalogue.rules, usages, history, wish))
    return found


def histories_of(client_id: int, names: list[str]) -> dict[str, History]:
    """The median of what the client's own answers had lately, by model; one query."""
    rows = RequestLog.objects.filter(
        client_id=client_id,
        started_at__gte=clock.now() - LOOKED_BACK,
        alias__in=names,
        outcome=RequestLog.Outcome.OK,
        output_tokens__gt=0,
    ).order_by("-started_at", "-id")
    seen: dict[str, list[int]] = defaultdict(list)
    for alias, tokens in rows.values_list("alias", "output_tokens")[:ROWS]:
        if len(seen[alias]) < ROWS_A_MODEL:
            seen[alias].append(tokens)
    return {
        alias: History(len(sizes), median_high(sizes))
        for alias, sizes in seen.items()
        if len(sizes) >= LEAST_ROWS
    }


def _of_sizes(
    offer: Offer,
    rules: Rules,
    sizes: tuple[int, int, int, int | None, int],
    history: History | None,
    service_tier: str,
) -> ModelEstimate:
    prompt, most_prompt, least, expected, most = sizes
    usage = Usage(input_tokens=prompt, output_tokens=least)
    likely = _with_output(usage, expected) if expected is not None else None
    estimates = []
    for candidate in in_order(offer):
        price = candidate.price
        if price is None:
            estimates.append(Estimate(candidate, None, None, []))
            continue
        bills = _bills((usage, likely), candidate, rules, service_tier)
        worst = [
            pricing.worst_case(
                prompt_tokens=most_prompt, max_output_tokens=most, price=price, terms=terms
            )
            for terms in (pricing.Terms(), rules.terms)
        ]
        cost, charge = _amounts(bills, worst[0], worst[1])
        lines = pricing.explain(likely or usage, price, rules.terms, service_tier, clock.wall_s())
        estimates.append(Estimate(candidate, cost, charge, lines))
    return ModelEstimate(offer, prompt, most_prompt, least, expected, most, history, estimates)


def _of_usages(
    offer: Offer,
    rules: Rules,
    usages: tuple[Usage, Usage | None, Usage],
    history: History | None,
    wish: Wish,
) -> ModelEstimate:
    least, expected, most = usages
    shown = expected or least
    estimates = []
    for candidate in in_order(offer):
        if candidate.price is None:
            estimates.append(Estimate(candidate, None, None, []))
            continue
        bills = _bills((least, expected), candidate, rules, wish.service_tier)
        worst = _bills((most, None), candidate, rules, wish.service_tier)[0]
        assert worst is not None
        cost, charge = _amounts(bills, worst.cost_nano, worst.charged_nano)
        lines = pricing.explain(
            shown, candidate.price, rules.terms, wish.service_tier, clock.wall_s()
        )
        estimates.append(Estimate(candidate, cost, charge, lines))
    return ModelEstimate(
        offer,
        shown.input_tokens,
        most.input_tokens,
        least.output_tokens,
        expected.output_tokens if expected is not None else None,
        most.output_tokens,
        history,
        estimates,
    )


def _bills(
    usages: tuple[Usage, Usage | None], candidate: Candidate, rules: Rules, service_tier: str
) -> list[pricing.Bill | None]:
    assert candidate.price is not None
    now_s = clock.wall_s()
    return [
        None
        if usage is None
        else pricing.bill(usage, candidate.price, rules.terms, service_tier, now_s)
        for usage in usages
    ]


def _amounts(
    bills: list[pricing.Bill | None], cost_most: int, charge_most: int
) -> tuple[Amounts, Amounts]:
    least, expected = bills
    assert least is not None
    return (
        _ordered(least.cost_nano, expected.cost_nano if expected else None, cost_most),
        _ordered(least.charged_nano, expected.charged_nano if expected else None, charge_most),
    )


def _ordered(least: int, expected: int | None, most: int) -> Amounts:
    """Prices may fall with length (a band above so many tokens), a range never runs backwards."""
    known = [least, most] if expected is None else [least, expected, most]
    return Amounts(min(known), expected, max(known))


def _with_output(usage: Usage, output_tokens: int) -> Usage:
    values = {name: getattr(usage, name) for name in Usage.__struct_fields__}
    return Usage(**values | {"output_tokens": output_tokens})


def _aliases_of(key_id: int | None) -> frozenset[str] | None:
    """Those that the key names; None: it names none, or there is no key."""
    if key_id is None:
        return None
    key = ApiKey.objects.filter(pk=key_id).prefetch_related("aliases").first()
    return (frozenset(one.name for one in key.aliases.all()) or None) if key else None


def checked(usage: Usage) -> Usage:
    """Raises InvalidField for counts that no request can have."""
    if not pricing.valid_usage(usage):
        raise InvalidField(
            "The counts do not fit together: parts of the prompt (cached, written to the cache, "
            "audio, images) may not be more than 'input_tokens', parts of the answer (reasoning, "
            f"audio, images) not more than 'output_tokens', and nothing more than "
            f"{pricing.MAX_TOKENS:,}.",
            param="input_tokens",
        )
    return usage
