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
from apps.billing.price_fields import Bands, ServiceTiers, Volume, Windows
from apps.configuration.collections import Collection, Item, Key
from apps.configuration.fields import Field, Moment, Ref, Text, Usd
from apps.configuration.work import Work
from apps.providers.models import Deployment
from chatvault.lib import clock

Line = tuple[str, str | None]
"""A model, and the deployment where the price is for that alone."""
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
    Usd(name="image_input", attr="image_input_nano", nullable=True),
    Usd(name="image_output", attr="image_output_nano", nullable=True),
    Usd(name="per_request", attr="per_request_nano", default=0),
    Usd(name="per_second", attr="per_second_nano", default=0),
    Usd(name="per_image", attr="per_image_nano", default=0),
    Usd(name="per_search", attr="per_search_nano", default=0),
    Bands(name="bands"),
    ServiceTiers(name="service_tiers"),
    Windows(name="windows"),
    Volume(name="volume"),
)


@dataclass(frozen=True)
class _Model:
    """One model's prices in one book, or one deployment's of the model: the rows that hold now or
    later, by their start, where None stands for what has begun already."""

    book: PriceBook
    name: str
    deployment: str | None
    rows: dict[datetime | None, Price]
    where: str
    now: datetime

    def start_of(self, moment: datetime | None) -> datetime | None:
        return moment if moment is not None and moment > self.now else None

    def label(self, start: datetime | None) -> str:
        return self.where + Prices().label((self.name, start, self.deployment))

    def next_start(self, start: datetime | None) -> datetime | None:
        """When the row after `start` begins."""
        later = [at for at in self.rows if at is not None and (start is None or at > start)]
        return min(later, default=None)


class Prices(Collection):
    """An item without `valid_from` is the price of now; a changed one ends the old row and begins
    a new one. Items with a later `valid_from` are prices to come, and of several that have begun
    only the last counts, so a document stays true as time passes. Prices that name a deployment
    are a line of their own."""

    name = "prices"
    model = Price
    accessor = "prices"
    parent = "book"
    key_fields = ("model", "valid_from", "deployment")
    fields = (
        Text(name="model", required=True, max_length=150),
        Ref(name="deployment", to="deployments", nullable=True),
        *RATES,
        Moment(name="valid_from"),
        Moment(name="valid_to"),
    )

    def rows(self) -> QuerySet[Any]:
        of_deleted = Q(deployment_id__isnull=False, deployment__name=None)
        return super().rows().filter(_holds(clock.now())).exclude(of_deleted)

    def export_all(self, rows: Iterable[Any]) -> list[dict[str, Any]]:
        ordered = sorted(rows, key=_order)
        return [self.export(row) for row in ordered]

    def export(self, row: Any) -> dict[str, Any]:
        item = super().export(row)
        if row.valid_from <= clock.now():
            item.pop("valid_from")
        return item

    def label(self, key: Key) -> str:
        model, begins, deployment = key
        at = f" at {deployment}" if deployment is not None else ""
        return f"prices[{model}{at}{f' from {begins}' if begins is not None else ''}]"

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
        rows: dict[Line, list[Price]] = defaultdict(list)
        for row in self.rows().filter(book=parent):
            rows[row.model, row.deployment.name if row.deployment else None].append(row)
        wanted: dict[Line, list[Item]] = defaultdict(list)
        for item in items:
            wanted[item.values["model"], item.values.get("deployment")].append(item)
        is_pruned = work.prunes(where + self.name)
        for line in {**wanted, **(rows if is_pruned else {})}:
            begun = {(r.valid_from if r.valid_from > now else None): r for r in rows[line]}
            model = _Model(parent, *line, begun, where, now)
            self._follow(model, _timeline(wanted.get(line, []), now), work)

    def _follow(self, model: _Model, timeline: list[Item], work: Work) -> None:
        """Make one model's rows what its items say."""
        starts = [model.start_of(item.values.get("valid_from")) for item in timeline]
        if work.prune:  # first: what follows may hold in their place
            for start in [start for start in model.rows if start not in starts]:
                services.end_prices(prices=[model.rows.pop(start)], at=model.now)
                work.applied.removed.append(model.label(start))
        for at, (start, item) in enumerate(zip(starts, timeline, strict=True)):
            if at + 1 < len(timeline):
                item.values["valid_to"] = timeline[at + 1].values["valid_from"]
            row = model.rows.get(start)
            label = model.label(start)
            if row is None:
                work.note_created(label, self._begin(model, start, item, work))
            else:
                work.note_changed(label, self._continue(model, row, item, work))

    def _begin(self, model: _Model, start: datetime | None, item: Item, work: Work) -> Price:
        ends = [item.values.get("valid_to"), None if work.prune else model.next_start(start)]
        name = model.deployment
        deployment = work.find("deployments", name) if name is not None else None
        assert deployment is None or isinstance(deployment, Deployment)
        return services.start_price(
            book=model.book,
            model=model.name,
            rates=self._rates(item, work),
            valid_from=start or model.now,
            valid_to=min((end for end in ends if end is not None), default=None),
            deployment=deployment,
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
        following = model.next_start(model.start_of(row.valid_from))
        if following is not None and not work.prune:
            end = following if end is None else min(end, following)
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


def _order(row: Any) -> tuple[str, str, datetime]:
    return row.model, row.deployment.name if row.deployment else "", row.valid_from


def _begins(item: Item) -> datetime:
    moment: datetime | None = item.values.get("valid_from")
    return moment or LONG_AGO
