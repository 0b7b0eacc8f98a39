"""What is done to prices and limits. A price that was in use is ended and followed by another,
never changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from apps.billing.models import Price, PriceBook
from apps.configuration import announce
from apps.providers.models import Deployment

_INSTANT = timedelta(microseconds=1)


@transaction.atomic
def start_price(
    *,
    book: PriceBook,
    model: str,
    rates: dict[str, Any],
    valid_from: datetime,
    valid_to: datetime | None = None,
    deployment: Deployment | None = None,
) -> Price:
    """A price of `model` from `valid_from` on; one that would overlap ends there.

    `rates` are the model's attributes: nano-USD, and its conditions. With a `deployment` it is
    the price of that deployment alone. Raises ValueError for conditions that make no sense, and
    IntegrityError where a later price begins before `valid_to`.
    """
    _hold(book)
    for before in book.prices.filter(model=model, deployment=deployment, valid_from__lt=valid_from):
        if before.valid_to is None or before.valid_to > valid_from:
            before.valid_to = valid_from
            before.save(update_fields=["valid_to"])
    return Price.objects.create(
        book=book,
        model=model,
        deployment=deployment,
        valid_from=valid_from,
        valid_to=valid_to,
        **rates,
    )


@transaction.atomic
def succeed_price(
    *, price: Price, rates: dict[str, Any], valid_to: datetime | None, now: datetime
) -> Price:
    """`rates` instead of `price`'s from now on, or from its start if that is still to come."""
    _hold(price.book)
    if price.valid_from > now:
        start = price.valid_from
        price.delete()
    else:
        start = max(now, price.valid_from + _INSTANT)
        price.valid_to = start
        price.save(update_fields=["valid_to"])
    return Price.objects.create(
        book=price.book,
        model=price.model,
        deployment_id=price.deployment_id,
        valid_from=start,
        valid_to=valid_to,
        **rates,
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


def _hold(book: PriceBook) -> None:
    """Who else changes prices of the book waits, and then sees what was done."""
    PriceBook.objects.select_for_update().get(pk=book.pk)


def limits_changed() -> None:
    """Gateways take the limits anew once the transaction has committed: also of people and
    temporary ceilings, which are no part of the configuration's revisions."""
    announce.after_commit("billing.limits")
