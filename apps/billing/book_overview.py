"""A price book at a glance: what each model costs now and next, where there is no price, and how
far its price is from the public list."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Final

from apps.billing import list_prices, words
from apps.billing.models import Price, PriceBook
from apps.providers.models import Deployment
from chatvault.lib.money import format_usd

_ONE_PLACE: Final = Decimal("0.1")


@dataclass
class Line:
    """One model, or one deployment's prices of it. `warnings` are what an admin should look at."""

    model: str
    deployment: str = ""
    current: Price | None = None
    following: Price | None = None
    ended: int = 0
    ratio: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def has_conditions(self) -> bool:
        price = self.current or self.following
        return bool(price and (price.bands or price.service_tiers or price.windows))

    @property
    def input(self) -> str:
        return format_usd(self.current.input_nano) if self.current else "–"

    @property
    def cached_input(self) -> str:
        nano = self.current.cached_input_nano if self.current else None
        return "–" if nano is None else format_usd(nano)

    @property
    def output(self) -> str:
        return format_usd(self.current.output_nano) if self.current else "–"

    @property
    def example(self) -> str:
        return words.example_of(self.current) if self.current else "–"


def overview(book: PriceBook, now: datetime) -> list[Line]:
    """Every model that has or had a price in the book, or is deployed, by its name."""
    families: dict[str, set[str]] = defaultdict(set)
    names: dict[int, str] = {}
    for row in Deployment.objects.select_related("provider").order_by("pk"):
        families[row.model].add(row.provider.family)
        names[row.pk] = row.name
    rows: dict[tuple[str, int], list[Price]] = defaultdict(list)
    for price in book.prices.order_by("valid_from", "pk"):
        rows[price.model, price.deployment_id or 0].append(price)
    for model in families:
        rows.setdefault((model, 0), [])
    lines = []
    for (model, deployment_id), prices in sorted(rows.items()):
        at = names.get(deployment_id, "a deleted deployment") if deployment_id else ""
        line = _line(model, at, prices, now)
        if model in families and not deployment_id and line.current is None:
            line.warnings.insert(0, "It is deployed and has no price now.")
        _compare(line, families.get(model, set()))
        lines.append(line)
    return lines


def _line(model: str, deployment: str, prices: list[Price], now: datetime) -> Line:
    ended = [price for price in prices if price.valid_to is not None and price.valid_to <= now]
    coming = [price for price in prices if price.valid_from > now]
    current = [price for price in prices if price not in ended and price not in coming]
    line = Line(
        model,
        deployment,
        current[0] if current else None,
        coming[0] if coming else None,
        len(ended),
    )
    line.warnings = _gaps([*current, *coming], now)
    return line


def _gaps(prices: list[Price], now: datetime) -> list[str]:
    """Times to come without a price, in words."""
    found = []
    if prices and prices[0].valid_from > now:
        found.append(f"There is no price until {_moment(prices[0].valid_from)}.")
    for price, after in pairwise(prices):
        if price.valid_to is not None and price.valid_to < after.valid_from:
            found.append(
                f"There is no price from {_moment(price.valid_to)} until "
                f"{_moment(after.valid_from)}."
            )
    if prices and prices[-1].valid_to is not None:
        found.append(f"It ends on {_moment(prices[-1].valid_to)} and nothing follows.")
    return found


def _compare(line: Line, families: set[str]) -> None:
    """With the public list: the input's multiple, and a warning for any rate out of the band."""
    price = line.current
    listed = list_prices.list_rates(line.model, families) if price is not None else None
    if price is None or listed is None:
        return
    if usual := listed["input_nano"]:
        line.ratio = f"{(Decimal(price.input_nano) / usual).quantize(_ONE_PLACE)} ×"
    for name, usual in listed.items():
        if doubt := list_prices.doubt(name, getattr(price, name), usual):
            rate = name.removesuffix("_nano").replace("_", " ")
            line.warnings.append(f"Its {rate} is {doubt} the list price of {format_usd(usual)}.")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
