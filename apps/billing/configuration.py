"""Price books, tiers, quotas and budgets in the configuration document."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError

from apps.billing.limits.periods import LONGEST_DAYS
from apps.billing.models import Budget, BudgetStage, PriceBook, PricingTier, Quota
from apps.billing.price_fields import Overrides, Volume
from apps.billing.price_items import Prices
from apps.configuration import registry
from apps.configuration.collections import Collection, Item, Key
from apps.configuration.fields import Choice, Day, Flag, Name, Percent, Ref, Text, Usd, Whole
from apps.configuration.work import Work


class PriceBooks(Collection):
    name = "price_books"
    model = PriceBook
    fields = (Name(name="name"), Text(name="description"))


class PricingTiers(Collection):
    name = "pricing_tiers"
    model = PricingTier
    fields = (
        Name(name="name"),
        Ref(name="price_book", to="price_books", required=True),
        Percent(name="markup_percent"),
        Usd(name="minimum_usd", attr="minimum_nano", default=0),
        Overrides(name="overrides"),
        Volume(name="volume"),
    )


class _OfScope(Collection):
    """Rules on what `parent` names: a team, a client, a key, an alias or a provider."""

    is_whole = True
    parent: ClassVar[str]


class Quotas(_OfScope):
    name = "quotas"
    model = Quota
    accessor = "quotas"
    key_fields = ("unit", "window_s")
    fields = (
        Choice(name="unit", choices=tuple(Quota.Unit.values), required=True),
        Whole(name="window_s", default=60, least=1, most=31 * 86_400),
        Whole(name="ceiling", required=True, least=1, most=2**63 - 1),
        Flag(name="observe", attr="observes", default=False),
        Flag(name="active", attr="is_active"),
    )

    def key_of_item(self, item: Item) -> Key:
        if item.values.get("unit") == Quota.Unit.CONCURRENCY:
            item.values["window_s"] = 1  # it has no window
        return super().key_of_item(item)

    def check(self, item: Item, parent: Item | None, work: Work) -> None:
        item.values.setdefault("window_s", 60)


class BudgetStages(Collection):
    name = "stages"
    model = BudgetStage
    accessor = "stages"
    parent = "budget"
    is_whole = True
    key_fields = ("action",)
    fields = (
        Whole(name="at_percent", required=True, least=1, most=1000),
        Choice(name="action", choices=tuple(BudgetStage.Action.values), required=True),
        Whole(name="requests_per_minute", least=1, nullable=True),
        Ref(name="alias", to="aliases", nullable=True),
    )

    def check(self, item: Item, parent: Item | None, work: Work) -> None:
        values = item.values
        for name, action in (("requests_per_minute", "throttle"), ("alias", "degrade")):
            is_given = values.get(name) is not None
            if is_given != (values.get("action") == action):
                told = "belongs only" if is_given else "is missing"
                work.problem(f"{item.path}.{name}", f"This {told} in a stage that {action}s.")


class Budgets(_OfScope):
    name = "budgets"
    model = Budget
    accessor = "budgets"
    key_fields = ("period", "length_days", "time_zone")
    fields = (
        Usd(name="amount_usd", attr="amount_nano", required=True),
        Choice(name="period", choices=tuple(Budget.Period.values), default="month"),
        Whole(name="length_days", default=0, least=0, most=LONGEST_DAYS),
        Day(name="starts_on"),
        Text(name="time_zone", default="UTC", max_length=64),
        Flag(name="rolls_over", default=False),
        Flag(name="active", attr="is_active"),
    )

    def label(self, key: Key) -> str:
        """Such as `budgets[month]` or `budgets[rolling/30]`."""
        return f"{self.name}[{self.key_text(key)}]"

    def key_text(self, key: Key) -> str:
        """Without what is at its default."""
        period, days, zone = key
        parts = [str(period), *([str(days)] if days else []), *([str(zone)] * (zone != "UTC"))]
        return "/".join(parts)

    def export(self, row: Any) -> dict[str, Any]:
        item = super().export(row)
        return {"amount_usd": item.pop("amount_usd"), "period": row.period} | item

    def check(self, item: Item, parent: Item | None, work: Work) -> None:
        fields = ("period", "length_days", "starts_on", "time_zone", "rolls_over")
        row = Budget(**{name: item.values[name] for name in fields if name in item.values})
        try:
            row.clean()
        except ValidationError as wrong:
            for name, messages in wrong.message_dict.items():
                work.problem(f"{item.path}.{name}", messages[0])


def _on(kind: type[_OfScope], scope: str) -> type[_OfScope]:
    return type(f"{kind.__name__}Of{scope.title()}", (kind,), {"parent": scope})


def register() -> None:
    registry.register(PriceBooks(), order=40, parts=(Prices(),))
    registry.register(PricingTiers(), order=50)
    for path, scope in (("teams", "team"), ("clients", "client"), ("clients.keys", "key")):
        registry.extend(path, _on(Quotas, scope))
        registry.extend(path, _on(Budgets, scope))
        registry.extend(f"{path}.budgets", BudgetStages)
    for path, scope in (("aliases", "alias"), ("providers", "provider")):
        registry.extend(path, _on(Quotas, scope))
        registry.extend(path, _on(Budgets, scope))
