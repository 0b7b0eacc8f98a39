"""What a check of the books finds, and the ways to find it by SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

import msgspec
from django.db import connection

EXAMPLES: Final = 5


class Example(msgspec.Struct, frozen=True):
    """Where something differs. `kind` and `ref` say which row shows it: a request by its id, an
    hour by its beginning, a budget's window, a journal segment, a batch of adjustments."""

    text: str
    kind: str = ""
    ref: str = ""

    def __str__(self) -> str:
        return self.text


class Finding(msgspec.Struct, frozen=True):
    """One thing that must hold: its figure, and examples of where it does not."""

    name: str
    checked: int
    differences: int
    examples: list[Example]
    code: str = ""
    note: str = ""  # what was left out, and why


def by_query(
    code: str, name: str, checked: int, statement: str, *values: str, kind: str = "request"
) -> Finding:
    """Of a query for what is wrong, whose first column is the `kind`'s id: the database counts,
    only the examples come here."""
    with connection.cursor() as cursor:
        cursor.execute(_with_count(statement), values or None)
        rows = cursor.fetchall()
    differences = int(rows[0][-1]) if rows else 0
    examples = [Example(told(row[:-1]), kind, str(row[0])) for row in rows]
    return Finding(name, checked, differences, examples, code)


@cache
def _with_count(statement: str) -> str:
    """Of one of our own statements: a few of its rows, each with how many there are."""
    words = ("SELECT wrong.*, COUNT(*) OVER () FROM (", statement, ") wrong LIMIT", str(EXAMPLES))
    return " ".join(words)


def counted(statement: str, *values: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return int(cursor.fetchone()[0])


def told(values: Sequence[Any]) -> str:
    return ", ".join(str(value) for value in values)


def as_parameter(at: datetime) -> str:
    """An instant as the database compares it."""
    return str(connection.ops.adapt_datetimefield_value(at))
