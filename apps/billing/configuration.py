"""Price books, tiers, quotas and budgets in the configuration document."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any, ClassVar

from django.db.models import Model, Q, QuerySet

from apps.billing import services
from apps.billing.models import Budget, Price, PriceBook, PricingTier, Quota
from apps.configuration import registry
from apps.configuration.collections import Collection, Item, Key
from apps.configuration.fields import (
    Choice,
    Field,
    Flag,
    Moment,
    Name,
    Percent,
    Ref,
    Text,
    Usd,
    Whole,
)
from apps.configuration.work import Work
from chatvault.lib import clock

_RATES: tuple[Field, ...] = (
    Usd(name="input", attr="input_nano", required=True),
    Usd(name="output", attr="output_nano", required=True),
    Usd(name="cached_input", attr="cached_input_nano", nullable=True),
    Usd(name="cache_write", attr="cache_write_nano", nullable=True),
    Usd(name="cache_write_1h", attr="cache_write_1h_nano", nullable=True),
    Usd(name="reasoning", attr="reasoning_nano", nullable=True),
    Usd(name="audio_input", attr="audio_input_nano", nullable=True),
    Usd(name="audio_output", attr="audio_output_nano", nullable=True),
    Usd(name="per_request", attr="per_request_nano", default=0),
)


class Prices(Collection):
    """Price versions. An item without `valid_from` is the price of now; a changed one ends the
    old row and begins a new one. Items with a later `valid_from` are prices to come, and of
    several that have begun only the last counts, so a document stays true as time passes."""

    name = "prices"
    model = Price
    accessor = "prices"
    parent = "book"
    key_fields = ("model", "valid_from")
    fields = (
        Text(name="model", required=True, max_length=150),
        *_RATES,
        Moment(name="valid_from"),
        Moment(name="valid_to"),
    )

    def rows(self) -> QuerySet[Any]:
        return super().rows().filter(Q(valid_to=None) | Q(valid_to__gt=clock.now()))

    def export(self, row: Any) -> dict[str, Any]:
        item = super().export(row)
        if row.valid_from <= clock.now():
            del item["valid_from"]
        return item

    def label(self, key: Key) -> str:
        model, begins = key
        return f"prices[{model}]" if begins is None else f"prices[{model} from {begins}]"

    def check(self, item: Item, parent: Item | None, work: Work) -> None:
        begins, ends = item.values.get("valid_from"), item.values.get("valid_to")
        if begins is not None and ends is not None and ends <= begins:
            work.problem(
                f"{item.path}.valid_to", "It is not after valid_from.", "Write a later moment."
            )

    def apply(
        self, items: list[Item], parent: Model | None, where: str, work: Work, *, is_given: bool
    ) -> None:
        assert isinstance(parent, PriceBook)
        now = clock.now()
        rows = defaultdict(list)
        for row in Price.objects.filter(Q(valid_to=None) | Q(valid_to__gt=now), book=parent):
            rows[row.model].append(row)
        wanted: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            wanted[item.values["model"]].append(item)
        for model, versions in wanted.items():
            timeline = _timeline(versions, now)
            self._follow(parent, model, timeline, rows.pop(model, []), where, work, now)
        if work.prunes(where + self.name):
            for model, gone in rows.items():
                services.end_prices(prices=gone, at=now)
                work.applied.removed.append(f"{where}prices[{model}]")

    def _follow(
        self,
        book: PriceBook,
        model: str,
        timeline: list[Item],
        rows: list[Price],
        where: str,
        work: Work,
        now: datetime,
    ) -> None:
        by_start = {self._start(row.valid_from, now): row for row in rows}
        for at, item in enumerate(timeline):
            starts = self._start(item.values.get("valid_from"), now)
            following = timeline[at + 1] if at + 1 < len(timeline) else None
            end = following.values["valid_from"] if following else item.values.get("valid_to")
            label = where + self.label((model, starts))
            row = by_start.pop(starts, None)
            if row is None:
                later = [start for start in by_start if start and (not starts or start > starts)]
                end = min([*later, end] if end else later, default=end)
                row = self._new(book, item, starts or now, end, work)
                work.note_created(label, row)
                continue
            changed = [
                each.name
                for each in _RATES
                if each.name in self.wanted(item, work)
                and each.of(row) != self.wanted(item, work)[each.name]
            ]
            if following is None and "valid_to" not in item.values and not work.prune:
                end = row.valid_to
            if changed:
                values = {each.attribute: each.of(row) for each in _RATES}
                values |= self._rates(item, work)
                services.succeed_price(price=row, rates=values, valid_to=end, now=now)
            elif row.valid_to != end:
                services.end_prices(prices=[row], at=end)
                changed = ["valid_to"]
            work.note_changed(label, changed)
        if work.prune:
            for row in by_start.values():
                services.end_prices(prices=[row], at=now)
                work.applied.removed.append(where + self.label((model, row.valid_from)))

    @staticmethod
    def _start(moment: datetime | None, now: datetime) -> datetime | None:
        """None for what has begun already: it is the price of now."""
        return moment if moment is not None and moment > now else None

    def _rates(self, item: Item, work: Work) -> dict[str, Any]:
        wanted = self.wanted(item, work)
        return {each.attribute: wanted[each.name] for each in _RATES if each.name in wanted}

    def _new(
        self, book: PriceBook, item: Item, start: datetime, end: datetime | None, work: Work
    ) -> Price:
        return services.start_price(
            book=book,
            model=item.values["model"],
            rates=self._rates(item, work),
            valid_from=start,
            valid_to=end,
        )


def _timeline(items: list[Item], now: datetime) -> list[Item]:
    """What counts from now on, in order: the last item that has begun, then those to come."""
    ordered = sorted(items, key=lambda item: _begin(item, now))
    begun = [item for item in ordered if _begin(item, now) <= now.timestamp()]
    current = begun[-1:]
    if current:
        ends = current[0].values.get("valid_to")
        current = [] if ends is not None and ends <= now else current
    return current + ordered[len(begun) :]


def _begin(item: Item, now: datetime) -> float:
    moment = item.values.get("valid_from")
    return moment.timestamp() if moment is not None else 0.0


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
    )


class _OfScope(Collection):
    """Rules on a team, a client or a key: `parent` is which."""

    is_whole = True
    takes: ClassVar[str]


class Quotas(_OfScope):
    name = "quotas"
    model = Quota
    accessor = "quotas"
    key_fields = ("unit", "window_s")
    fields = (
        Choice(name="unit", choices=tuple(Quota.Unit.values), required=True),
        Whole(name="window_s", default=60, least=1, most=31 * 86_400),
        Whole(name="ceiling", required=True, least=1, most=2**63 - 1),
        Flag(name="active", attr="is_active"),
    )

    def key_of_item(self, item: Item) -> Key:
        if item.values.get("unit") == Quota.Unit.CONCURRENCY:
            item.values["window_s"] = 1  # it has no window
        return super().key_of_item(item)

    def check(self, item: Item, parent: Item | None, work: Work) -> None:
        item.values.setdefault("window_s", 60)


class Budgets(_OfScope):
    name = "budgets"
    model = Budget
    accessor = "budgets"
    key_fields = ("period",)
    fields = (
        Usd(name="amount_usd", attr="amount_nano", required=True),
        Choice(name="period", choices=tuple(Budget.Period.values), default="month"),
        Flag(name="active", attr="is_active"),
    )

    def export(self, row: Any) -> dict[str, Any]:
        item = super().export(row)
        return {"amount_usd": item.pop("amount_usd"), "period": row.period} | item


def _on(kind: type[_OfScope], scope: str) -> type[_OfScope]:
    return type(f"{kind.__name__}Of{scope.title()}", (kind,), {"parent": scope})


def register() -> None:
    registry.register(PriceBooks(), order=40, parts=(Prices(),))
    registry.register(PricingTiers(), order=50)
    for path, scope in (("teams", "team"), ("clients", "client"), ("clients.keys", "key")):
        registry.extend(path, _on(Quotas, scope))
        registry.extend(path, _on(Budgets, scope))
