"""Which price, terms and tokens a request would have had, had things been otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from apps.billing import pricing
from apps.billing.models import Price
from apps.forecasts.models import WhatIf
from apps.providers.adapters.contract import Usage
from apps.providers.models import Deployment, Target
from apps.usage import formula
from apps.usage.models import HourlyRollup, RequestLog

Priced = tuple[pricing.Price | None, pricing.Terms]
_EMBEDDINGS = "embeddings"


class Otherwise:
    """Prices and terms are read once. Without another model and tier a request keeps its own."""

    def __init__(self, asked: WhatIf) -> None:
        self._asked = asked
        self._versions = formula.Versions()
        self._models = dict(Deployment.objects.values_list("pk", "model"))
        own = asked.client.tier
        tier = asked.tier or own
        self._book_id = tier.price_book_id if tier is not None else 0
        self._terms = tier.terms() if tier is not None else pricing.Terms()
        self._prices = self._load()
        self._target = self._target_of()
        self._not_at_the_time: set[str] = set()
        self._without_price: set[str] = set()
        self._without_tier: set[str] = set()
        self._without_cache: set[str] = set()
        self._kept_embeddings = False

    def load(self, rows: Sequence[RequestLog]) -> None:
        self._versions.load(rows)

    def of_row(self, row: RequestLog) -> Priced:
        is_moved = self._moves(is_embedding=row.operation == _EMBEDDINGS)
        if not is_moved and self._asked.tier is None:
            price = self._versions.price_of(row)
            if price is None:
                self._without_price.add(row.alias)
            return self._seen(price), self._versions.terms_of(row) or self._terms
        terms = self._terms
        if self._asked.tier is None:
            terms = self._versions.terms_of(row) or self._terms
        place = self._target if is_moved else self._place(row.deployment_id)
        return self._at(place, row.started_at.timestamp(), row.alias), terms

    def of_hour(self, hour: HourlyRollup) -> Priced:
        is_moved = self._moves(is_embedding=not hour.output_tokens)
        place = self._target if is_moved else self._place(hour.deployment_id)
        return self._at(place, hour.hour.timestamp(), hour.alias), self._terms

    def usage(self, usage: Usage) -> Usage:
        percent = self._asked.cached_percent
        if percent is None:
            return usage
        writes = usage.cache_write_tokens + usage.cache_write_1h_tokens
        wanted = min(usage.input_tokens * percent // 100, usage.input_tokens - writes)
        cached = max(usage.cached_input_tokens, wanted, 0)
        return msgspec.structs.replace(usage, cached_input_tokens=cached)

    def service_tier(self, was: str, price: pricing.Price) -> str:
        wanted = self._asked.service_tier
        if not wanted:
            return was
        known = price.conditions.service_tiers if price.conditions is not None else {}
        if wanted not in known:
            self._without_tier.add(price.model)
        return wanted

    def notes(self) -> list[str]:
        """What whoever reads the figures has to know."""
        found = []
        if self._without_price:
            found.append(f"Without a price, so left out: {_listed(self._without_price)}.")
        if self._not_at_the_time:
            found.append(
                "Had no price when the requests were made; taken at the first that there is: "
                f"{_listed(self._not_at_the_time)}."
            )
        if self._without_tier:
            found.append(
                f"The prices of {_listed(self._without_tier)} know no tier "
                f"“{self._asked.service_tier}”: taken at their own rates."
            )
        if self._asked.cached_percent is not None and self._without_cache:
            found.append(
                f"Have no rate of their own for what is read from the cache, so nothing changes: "
                f"{_listed(self._without_cache)}."
            )
        if self._kept_embeddings:
            found.append("Embeddings stay on their own models.")
        return found

    def _moves(self, *, is_embedding: bool) -> bool:
        if self._asked.alias is None:
            return False
        if is_embedding:
            self._kept_embeddings = True
        return not is_embedding

    def _place(self, deployment_id: int | None) -> tuple[int, str]:
        return deployment_id or 0, self._models.get(deployment_id or 0, "")

    def _target_of(self) -> tuple[int, str]:
        """The deployment that would be tried first; where dice decide, the likeliest."""
        if self._asked.alias is None:
            return 0, ""
        targets = Target.objects.filter(
            alias=self._asked.alias,
            deployment__is_active=True,
            deployment__provider__is_active=True,
        ).select_related("deployment")
        by_weight = self._asked.alias.strategy == "weighted"
        found = sorted(targets, key=lambda one: (-one.weight if by_weight else 0, one.position))
        return (found[0].deployment_id, found[0].deployment.model) if found else (0, "")

    def _at(self, place: tuple[int, str], at_s: float, alias: str) -> pricing.Price | None:
        """One for the deployment comes before one for its model."""
        deployment_id, model = place
        first = None
        for key in ((model, deployment_id), (model, None)):
            for version in self._prices.get(key, ()):
                if version.valid_from_s <= at_s:
                    if version.valid_to_s is None or at_s < version.valid_to_s:
                        return self._seen(version)
                    break
                first = version  # the earliest that came later
        if first is None:
            self._without_price.add(model or alias)
            return None
        self._not_at_the_time.add(model)
        return self._seen(first)

    def _seen(self, price: pricing.Price | None) -> pricing.Price | None:
        if price is not None and price.cached_input is None:
            self._without_cache.add(price.model)
        return price

    def _load(self) -> dict[tuple[str, int | None], list[pricing.Price]]:
        """Newest start first; damaged rows count as not there."""
        found: dict[tuple[str, int | None], list[pricing.Price]] = defaultdict(list)
        for row in Price.objects.filter(book_id=self._book_id).order_by("-valid_from", "-pk"):
            with suppress(ValueError):
                found[row.model, row.deployment_id].append(row.version())
        return found


def _listed(names: Any) -> str:
    shown = sorted(names)
    more = len(shown) - 10
    return ", ".join(shown[:10]) + (f" and {more} more" if more > 0 else "")
