"""Collections of items in the configuration document, and how one becomes rows.

A section is a collection at the top (`clients`), others are parts of an item (`keys`). The apps
subclass `Collection` where rows need more than fields, and register theirs in
`apps/<app>/configuration.py`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Model, Prefetch, QuerySet

from apps.configuration.fields import Field, Ref, Refs

if TYPE_CHECKING:
    from apps.configuration.work import Work

Key = tuple[Hashable, ...]


@dataclass
class Item:
    """One item of a document that was read. `values` has only the fields that were given."""

    path: str
    index: int
    values: dict[str, Any]
    parts: dict[str, list[Item]] = field(default_factory=dict)


class Collection:
    """Items of one kind. `accessor` is the parent's related name for the rows, `parent` the
    row's attribute for the parent; both are empty for sections.

    A list that is `is_whole` is the whole truth where it is given: rows that it does not name go.
    Of others, what is not named is left alone unless everything else is to go (prune).
    """

    name: ClassVar[str]
    model: ClassVar[type[Model]]
    fields: ClassVar[tuple[Field, ...]]
    key_fields: ClassVar[tuple[str, ...]] = ("name",)
    accessor: ClassVar[str] = ""
    parent: ClassVar[str] = ""
    is_whole: ClassVar[bool] = False

    def __init__(self) -> None:
        self.parts: dict[str, Collection] = {}

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)

    # What documents and rows are called.

    def key_of_item(self, item: Item) -> Key:
        return tuple(item.values.get(name, self.field(name).default) for name in self.key_fields)

    def key_of_row(self, row: Model) -> Key:
        return tuple(self.field(name).of(row) for name in self.key_fields)

    def label(self, key: Key) -> str:
        return f"{self.name}[{'/'.join(str(part) for part in key)}]"

    def key_text(self, key: Key) -> str:
        """The key as people read it; parts that are None are left out."""
        return "/".join(str(part) for part in key if part is not None)

    # Reading rows.

    def rows(self) -> QuerySet[Any]:
        """All rows with what `export` touches, in a fixed number of queries."""
        related = [field.attribute for field in self.fields if isinstance(field, Ref)]
        many = [field.attribute for field in self.fields if isinstance(field, Refs)]
        parts = [Prefetch(part.accessor, part.rows()) for part in self.parts.values()]
        query = self.model._default_manager.order_by("pk")
        if related:
            query = query.select_related(*related)
        return query.prefetch_related(*many, *parts)

    def export(self, row: Model) -> dict[str, Any]:
        """The item of a row; what is at its default is left out."""
        item = {}
        for each in self.fields:
            value = each.of(row)
            if each.required or value != each.default:
                item[each.name] = each.write(value)
        for part in self.parts.values():
            if items := part.export_all(getattr(row, part.accessor).all()):
                item[part.name] = items
        return item

    def export_all(self, rows: Iterable[Model]) -> list[dict[str, Any]]:
        ordered = sorted(rows, key=lambda row: tuple(map(str, self.key_of_row(row))))
        return [self.export(row) for row in ordered]

    # Writing rows.

    def check(self, item: Item, parent: Item | None, work: Work) -> None:
        """Report what the fields cannot know; nothing has been written yet."""

    def make(self, item: Item, parent: Model | None, work: Work) -> Model | None:
        """A new row; None after a problem was reported."""
        row = self.model(**({self.parent: parent} if self.parent else {}))
        self.assign(row, item, work, {each.name: each for each in self.fields})
        row.save()
        self.assign_many(row, item, work)
        return row

    def change(self, row: Model, item: Item, work: Work) -> list[str]:
        """Bring a row in line; the names of the fields that differed."""
        wanted = self.wanted(item, work)
        differing = {
            each.name: each
            for each in self.fields
            if each.name in wanted and each.of(row) != wanted[each.name]
        }
        if differing:
            item.values = {**item.values, **{name: wanted[name] for name in differing}}
            self.assign(row, item, work, differing)
            row.save()
            if any(isinstance(each, Refs) for each in differing.values()):
                self.assign_many(row, item, work)
        return list(differing)

    def wanted(self, item: Item, work: Work) -> dict[str, Any]:
        """Values that the row shall have: those given and, when pruning, the defaults."""
        if not work.prune:
            return item.values
        return {each.name: each.default for each in self.fields} | item.values

    def remove(self, row: Model, work: Work) -> None:
        row.delete()

    def assign(self, row: Model, item: Item, work: Work, fields: dict[str, Field]) -> None:
        for name, each in fields.items():
            if name not in item.values or isinstance(each, Refs):
                continue
            value = item.values[name]
            if isinstance(each, Ref) and value is not None:
                value = work.find(each.to, value)
            setattr(row, each.attribute, value)

    def assign_many(self, row: Model, item: Item, work: Work) -> None:
        for each in self.fields:
            if isinstance(each, Refs) and each.name in item.values:
                found = [work.find(each.to, name) for name in item.values[each.name]]
                getattr(row, each.attribute).set(found)

    # The whole list, for collections that are more than rows side by side.

    def apply(
        self, items: list[Item], parent: Model | None, where: str, work: Work, *, is_given: bool
    ) -> None:
        """Make the rows of `parent` what `items` say."""
        rows = getattr(parent, self.accessor).all() if self.parent else self.rows()
        is_new = parent is not None and work.is_new(parent)
        existing = {} if is_new else {self.key_of_row(row): row for row in rows}
        for item in items:
            key = self.key_of_item(item)
            label = where + self.label(key)
            row = existing.pop(key, None)
            if row is None:
                row = self.make(item, parent, work)
                if row is None:
                    continue
                work.note_created(label, row)
            else:
                work.note_changed(label, self.change(row, item, work))
            work.remember(self, row)
            for part in self.parts.values():
                given = part.name in item.parts
                if given or work.prune:
                    part.apply(
                        item.parts.get(part.name, []), row, f"{label}.", work, is_given=given
                    )
        if (is_given and self.is_whole) or work.prunes(where + self.name):
            for key, row in existing.items():
                work.remove_later(self, row, where + self.label(key))
