"""What the public catalogue says differently: found by a job, decided on by people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q

from apps.billing import list_prices
from apps.billing.models import CatalogueChange, PriceBook
from apps.providers import catalog
from apps.providers.models import Deployment

Kind, State = CatalogueChange.Kind, CatalogueChange.State
Progress = Callable[[int, int], None]


class Difference(NamedTuple):
    """One thing that differs now."""

    kind: CatalogueChange.Kind
    book: PriceBook | None
    deployment: Deployment | None
    model: str
    ours: dict[str, Any]
    listed: dict[str, Any]

    @property
    def place(self) -> Q:
        """The rows about the same thing."""
        if self.deployment is not None:
            return Q(deployment=self.deployment)
        return Q(book=self.book, model=self.model)


def look(now: datetime, progress: Progress) -> int:
    """Note what differs, forget what no longer does; returns how many differ and are open.
    Nothing else is changed, and twice changes nothing."""
    books = list(PriceBook.objects.order_by("pk"))
    for number, book in enumerate(books):
        progress(number, len(books) + 1)
        _note(_prices(book, now), CatalogueChange.objects.filter(book=book), now)
    limits = CatalogueChange.objects.filter(kind=Kind.OUTPUT_LIMIT)
    _note(_limits(), limits, now)
    progress(len(books) + 1, len(books) + 1)
    return CatalogueChange.objects.filter(state=State.OPEN).count()


@transaction.atomic
def take_over(*, rows: Iterable[CatalogueChange], now: datetime) -> int:
    """Do what open rows say, as far as it is still so; returns how many were done."""
    count = 0
    for row in rows:
        if row.state != State.OPEN:
            continue
        done = _take_price(row, now) if row.book is not None else _take_limit(row)
        _decide(row, State.TAKEN if done else State.GONE, now)
        count += done
    return count


@transaction.atomic
def dismiss(*, rows: Iterable[CatalogueChange], now: datetime) -> int:
    """Leave things as they are; the same is not told again. How many were open."""
    count = 0
    for row in rows:
        if row.state == State.OPEN:
            _decide(row, State.DISMISSED, now)
            count += 1
    return count


def _prices(book: PriceBook, now: datetime) -> Iterator[Difference]:
    for change in list_prices.plan_import(book, now).changes:
        names = list(change.rates)
        ours = {name: getattr(change.old, name) for name in names} if change.old else {}
        kind = Kind.NEW_PRICE if change.is_new else Kind.PRICE
        yield Difference(kind, book, None, change.model, ours, dict(change.rates))


def _limits() -> Iterator[Difference]:
    """Deployments with a longest answer that the catalogue knows to be another."""
    rows = Deployment.objects.filter(max_output_tokens__isnull=False).select_related("provider")
    for row in rows.order_by("pk"):
        found = catalog.find_model(row.provider.family, row.model)
        listed = found.max_output_tokens if found else None
        if listed is not None and listed != row.max_output_tokens:
            ours = {"max_output_tokens": row.max_output_tokens}
            yield Difference(
                Kind.OUTPUT_LIMIT, None, row, row.model, ours, {"max_output_tokens": listed}
            )


@transaction.atomic
def _note(differences: Iterable[Difference], rows: Any, now: datetime) -> None:
    for each in differences:
        same = rows.filter(each.place, ours=each.ours, listed=each.listed)
        if same.filter(state__in=(State.OPEN, State.DISMISSED)).update(seen_at=now):
            continue
        rows.filter(each.place, state=State.OPEN).update(state=State.GONE)
        CatalogueChange.objects.create(**each._asdict(), seen_at=now)
    rows.filter(state=State.OPEN, seen_at__lt=now).update(state=State.GONE)


def _take_price(row: CatalogueChange, now: datetime) -> bool:
    assert row.book is not None
    plan = list_prices.plan_import(row.book, now)
    chosen = [c for c in plan.changes if c.model == row.model and dict(c.rates) == row.listed]
    return bool(list_prices.take_over(book=row.book, changes=chosen, models={row.model}, now=now))


def _take_limit(row: CatalogueChange) -> bool:
    assert row.deployment is not None
    ours, listed = row.ours["max_output_tokens"], row.listed["max_output_tokens"]
    wanted = Deployment.objects.filter(pk=row.deployment.pk, max_output_tokens=ours)
    return bool(wanted.update(max_output_tokens=listed))


def _decide(row: CatalogueChange, state: CatalogueChange.State, now: datetime) -> None:
    row.state, row.seen_at = state, now
    row.save(update_fields=["state", "seen_at"])
