"""Prices in the configuration document: versions in time, not rows side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Model, Q, QuerySet

from apps.billing import services
from apps.billing.models import Price, PriceBook
from apps.configuration.collections import Collection, Item, Key
from apps.configuration.fields import Field, Moment, Text, Usd
from apps.configuration.work import Work
from chatvault.lib import clock

LONG_AGO = datetime.min.replace(tzinfo=UTC)

RATES: tuple[Field, ...] = (
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


@dataclass(frozen=True)
class _Model:
    """One model's prices in one book: the rows that hold now or later, by their start, where
    None stands for what has begun already."""

    book: PriceBook
    name: str
    rows: dict[datetime | None, Price]
    where: str
    now: datetime

    def start_of(self, moment: datetime | None) -> datetime | None:
        return moment if moment is not None and moment > self.now else None

    def next_start(self, start: datetime | None) -> datetime | None:
        """When the row after `start` begins."""
        later = [at for at in self.rows if at is not None and (start is None or at > start)]
        return min(later, default=None)


class Prices(Collection):
    """An item without `valid_from` is the price of now; a changed one ends the old row and begins
    a new one. Items with a later `valid_from` are prices to come, and of several that have begun
    only the last counts, so a document stays true as time passes."""

    name = "prices"
    model = Price
    accessor = "prices"
    parent = "book"
    key_fields = ("model", "valid_from")
    fields = (
        Text(name="model", required=True, max_length=150),
        *RATES,
        Moment(name="valid_from"),
        Moment(name="valid_to"),
    )

    def rows(self) -> QuerySet[Any]:
        return super().rows().filter(_holds(clock.now()))

    def export_all(self, rows: Iterable[Any]) -> list[dict[str, Any]]:
        ordered = sorted(rows, key=lambda row: (row.model, row.valid_from))
        return [self.export(row) for row in ordered]

    def export(self, row: Any) -> dict[str, Any]:
        item = super().export(row)
        if row.valid_from <= clock.now():
            item.pop("valid_from")
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
        rows: dict[str, list[Price]] = defaultdict(list)
        for row in Price.objects.filter(_holds(now), book=parent):
            rows[row.model].append(row)
        wanted: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            wanted[item.values["model"]].append(item)
        is_pruned = work.prunes(where + self.name)
        for name in {**wanted, **(rows if is_pruned else {})}:
            begun = {(r.valid_from if r.valid_from > now else None): r for r in rows[name]}
            model = _Model(parent, name, begun, where, now)
            self._follow(model, _timeline(wanted.get(name, []), now), work)

    def _follow(self, model: _Model, timeline: list[Item], work: Work) -> None:
        """Make one model's rows what its items say."""
        gone = dict(model.rows)
        for at, item in enumerate(timeline):
            start = model.start_of(item.values.get("valid_from"))
            gone.pop(start, None)
            if at + 1 < len(timeline):
                item.values["valid_to"] = timeline[at + 1].values["valid_from"]
            row = model.rows.get(start)
            label = model.where + self.label((model.name, start))
            if row is None:
                work.note_created(label, self._begin(model, start, item, work))
            else:
                work.note_changed(label, self._continue(model, row, item, work))
        if work.prune:
            for row in gone.values():
                services.end_prices(prices=[row], at=model.now)
                start = model.start_of(row.valid_from)
                work.applied.removed.append(model.where + self.label((model.name, start)))

    def _begin(self, model: _Model, start: datetime | None, item: Item, work: Work) -> Price:
        ends = [item.values.get("valid_to"), None if work.prune else model.next_start(start)]
        return services.start_price(
            book=model.book,
            model=model.name,
            rates=self._rates(item, work),
            valid_from=start or model.now,
            valid_to=min((end for end in ends if end is not None), default=None),
        )

    def _continue(self, model: _Model, row: Price, item: Item, work: Work) -> list[str]:
        """The names of the fields that differed."""
        rates = self._rates(item, work)
        changed = [
            each.name
            for each in RATES
            if each.attribute in rates and each.of(row) != rates[each.attribute]
        ]
        is_told = work.prune or "valid_to" in item.values
        end = item.values.get("valid_to") if is_told else row.valid_to
        if end is None and not work.prune:
            end = model.next_start(model.start_of(row.valid_from))
        if changed:
            kept = {each.attribute: each.of(row) for each in RATES}
            services.succeed_price(price=row, rates=kept | rates, valid_to=end, now=model.now)
        elif row.valid_to != end:
            services.end_prices(prices=[row], at=end)
            changed = ["valid_to"]
        return changed

    def _rates(self, item: Item, work: Work) -> dict[str, Any]:
        wanted = self.wanted(item, work)
        return {each.attribute: wanted[each.name] for each in RATES if each.name in wanted}


def _holds(now: datetime) -> Q:
    """Prices that hold at `now` or will."""
    return Q(valid_to=None) | Q(valid_to__gt=now)


def _timeline(items: list[Item], now: datetime) -> list[Item]:
    """What counts from now on, in order: the last item that has begun, then those to come."""
    ordered = sorted(items, key=_begins)
    begun = [item for item in ordered if _begins(item) <= now]
    current = begun[-1:]
    if current and (ends := current[0].values.get("valid_to")) is not None and ends <= now:
        current = []
    return current + ordered[len(begun) :]


def _begins(item: Item) -> datetime:
    moment: datetime | None = item.values.get("valid_from")
    return moment or LONG_AGO
