"""What is done to prices and limits. A price that was in use is ended and followed by another,
never changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from apps.billing.models import Price, PriceBook
from apps.configuration import announce

_INSTANT = timedelta(microseconds=1)


@transaction.atomic
def start_price(
    *,
    book: PriceBook,
    model: str,
    rates: dict[str, Any],
    valid_from: datetime,
    valid_to: datetime | None = None,
) -> Price:
    """A price of `model` from `valid_from` on; one that would overlap ends there.

    `rates` are the model's attributes, in nano-USD per 1 M tokens.
    """
    for before in book.prices.filter(model=model, valid_from__lt=valid_from):
        if before.valid_to is None or before.valid_to > valid_from:
            before.valid_to = valid_from
            before.save(update_fields=["valid_to"])
    return Price.objects.create(
        book=book, model=model, valid_from=valid_from, valid_to=valid_to, **rates
    )


@transaction.atomic
def succeed_price(
    *, price: Price, rates: dict[str, Any], valid_to: datetime | None, now: datetime
) -> Price:
    """`rates` instead of `price`'s from now on, or from its start if that is still to come."""
    if price.valid_from > now:
        start = price.valid_from
        price.delete()
    else:
        start = max(now, price.valid_from + _INSTANT)
        price.valid_to = start
        price.save(update_fields=["valid_to"])
    return Price.objects.create(
        book=price.book, model=price.model, valid_from=start, valid_to=valid_to, **rates
    )


@transaction.atomic
def end_prices(*, prices: Iterable[Price], at: datetime | None) -> None:
    """The prices hold until `at`, or until further notice; those that have not begun by then
    never were in use and are removed."""
    for price in prices:
        if at is not None and price.valid_from >= at:
            price.delete()
            continue
        price.valid_to = at
        price.save(update_fields=["valid_to"])


def limits_changed() -> None:
    """Gateways take the limits anew once the transaction has committed: also of people and
    temporary ceilings, which are no part of the configuration's revisions."""
    announce.after_commit("billing.limits")
