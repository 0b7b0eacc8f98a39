"""What caches saved: prompt tokens that were read from a cache, at what they would have cost.

Worked out by deployment and client from the sums of tokens, at the prices of the client's book
that hold at the end of the span. So it is an estimate where prices changed meanwhile, and where a
price has bands.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from apps.accounts.models import Client
from apps.billing.models import Price
from apps.providers.models import Deployment
from apps.usage.reports.summary import Line
from chatvault.lib.money import TOKENS_PER_PRICE, divide_half_up


class Rates(NamedTuple):
    """Nano-USD per 1 M tokens."""

    input: int
    cached: int
    write: int
    write_1h: int


def saved_nano(lines: Iterable[Line], at: datetime) -> int | None:
    """Of lines by (client, deployment); below zero where writing cost more than reading saved.
    None: nothing of it has a price."""
    lines = [line for line in lines if line.figures.of("requests")]
    rates = _rates({line.values for line in lines}, at)
    known = [(line, rates[line.values]) for line in lines if line.values in rates]
    if not known:
        return None
    exact = 0
    for line, rate in known:
        tokens = line.figures.of
        exact += (tokens("cached_input_tokens") or 0) * (rate.input - rate.cached)
        exact += (tokens("cache_write_tokens") or 0) * (rate.input - rate.write)
        exact += (tokens("cache_write_1h_tokens") or 0) * (rate.input - rate.write_1h)
    return divide_half_up(exact, TOKENS_PER_PRICE)


def _rates(pairs: set[tuple[int | str, ...]], at: datetime) -> dict[tuple[int | str, ...], Rates]:
    """Three queries."""
    clients = Client.objects.filter(pk__in={pair[0] for pair in pairs}, tier__isnull=False)
    books = dict(clients.values_list("pk", "tier__price_book_id"))
    deployments = Deployment.objects.filter(pk__in={pair[1] for pair in pairs})
    models = dict(deployments.values_list("pk", "model"))
    prices = {
        (price.book_id, price.model, price.deployment_id): _of(price)
        for price in Price.objects.valid_at(at).filter(
            book_id__in=set(books.values()), model__in=set(models.values())
        )
    }
    found = {}
    for pair in pairs:
        client, deployment = map(int, pair)
        book, model = books.get(client), models.get(deployment)
        if book is None or model is None:
            continue
        rate = prices.get((book, model, deployment)) or prices.get((book, model, None))
        if rate is not None:
            found[pair] = rate
    return found


def _of(price: Price) -> Rates:
    full = price.input_nano
    write = full if price.cache_write_nano is None else price.cache_write_nano
    return Rates(
        full,
        full if price.cached_input_nano is None else price.cached_input_nano,
        write,
        write if price.cache_write_1h_nano is None else price.cache_write_1h_nano,
    )
