"""The SQL of reports: which columns of which table are added up, and how.

Every statement is made of the names of our own tables and columns and of marks for values; what
is asked for comes in as values only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection, connections, router

from apps.usage.models import RequestLog
from apps.usage.reports.periods import Span
from apps.usage.reports.query import Dimension, Filters, Query, Scope, Value
from apps.usage.reports.tables import ADJUSTED, Source

D = Dimension
_MAKE_A_GROUP: Final = ("requests", *ADJUSTED)


@dataclass
class Statement:
    """SQL that grows piece by piece, with its values in step."""

    words: list[str]
    values: list[Any]

    def add(self, words: str, *values: Any) -> None:
        self.words.append(words)
        self.values.extend(values)

    def say(self, *words: str) -> None:
        self.words.extend(words)

    def extend(self, other: Statement) -> None:
        self.words.extend(other.words)
        self.values.extend(other.values)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def fetch(statement: Statement) -> list[tuple[Any, ...]]:
    """From where reports are read: see `replica`."""
    database = connections[router.db_for_read(RequestLog)]
    text = statement.text
    with database.cursor() as cursor:
        cursor.execute(text, statement.values)
        return cursor.fetchall()


def sums(
    query: Query,
    pieces: Sequence[tuple[Source, list[Span]]],
    names: Sequence[str],
    most: int,
    *,
    also: tuple[str, ...] = (),
) -> Statement:
    """Sums by period, by the dimensions of the query and by the columns `also`, over all pieces at
    one instant. Groups with no request and no adjustment are left out."""
    keys = [*(f"k{number}" for number in range(len(query.group_by))), *also]
    filled = [(source, spans) for source, spans in pieces if spans]
    found = tables_of_spans([spans for _, spans in filled])
    columns = ", ".join(["period", *keys, *(f"SUM({name}) AS {name}" for name in names)])
    found.say("SELECT", columns, "FROM (")
    for number, (source, spans) in enumerate(filled):
        if number:
            found.add("UNION ALL")
        found.extend(_piece(query, source, (spans, f"s{number}"), names, also))
    groups = ", ".join(["period", *keys])
    there = " OR ".join(f"SUM({name}) <> 0" for name in names if name in _MAKE_A_GROUP)
    found.add(f") AS parts GROUP BY {groups} HAVING {there} LIMIT %s", most)
    return found


def tables_of_spans(pieces: Sequence[list[Span]]) -> Statement:
    """A WITH for those pieces that have several spans."""
    found = Statement([], [])
    for number, spans in enumerate(pieces):
        if len(spans) < 2:
            continue
        found.add("," if found.words else "WITH")
        found.add(f"s{number} (period, sign, starts, ends) AS (VALUES")
        for place, span in enumerate(spans):
            found.add(
                "(%s, %s, %s, %s)" if place == 0 else ", (%s, %s, %s, %s)",
                *(span.period, span.sign, instant(span.start), instant(span.end)),
            )
        found.add(")")
    return found


def rows(query: Query, source: Source, spans: list[Span], columns: tuple[str, ...]) -> Statement:
    """Each row of a table: its period, the dimensions of the query, its sign and these columns."""
    found = tables_of_spans([spans])
    found.extend(_selected(query, source, (spans, "s0"), lambda sign: [sign, *columns]))
    return found


def _piece(
    query: Query,
    source: Source,
    named: tuple[list[Span], str],
    names: Sequence[str],
    also: tuple[str, ...],
) -> Statement:
    """The rows of one table, each with its period and, times its sign, what is summed."""

    def told(sign: str) -> list[str]:
        columns = [f"{source.sums[name]} AS {name}" for name in also]
        times = "" if sign == "1" else f"{sign} * "
        return [*columns, *(f"{times}{source.sums[name]} AS {name}" for name in names)]

    return _selected(query, source, named, told)


def _selected(
    query: Query,
    source: Source,
    named: tuple[list[Span], str],
    told: Callable[[str], list[str]],
) -> Statement:
    """The rows of one table within spans: period, dimensions, and what is `told` of a sign."""
    spans, table_of_spans = named
    found = Statement([], [])
    keys = [
        f"{column_of(source, dimension)} AS k{number}"
        for number, dimension in enumerate(query.group_by)
    ]
    if len(spans) == 1:
        only = spans[0]
        columns = ["CAST(%s AS integer) AS period", *keys, *told(str(only.sign))]
        found.add("SELECT", only.period)
        found.say(", ".join(columns), "FROM", source.table, "r", _join(source))
        found.add(source.between, instant(only.start), instant(only.end))
        found.extend(conditions(source, query.filters, query.scope))
        return found
    columns = ["s.period AS period", *keys, *told("s.sign")]
    found.say("SELECT", ", ".join(columns), "FROM", table_of_spans, "s")
    found.extend(_within_spans(source, conditions(source, query.filters, query.scope)))
    return found


def _within_spans(source: Source, narrowing: Statement) -> Statement:
    """The rows of each span, looked up span by span: PostgreSQL would rather read the whole table
    for each of them, since it cannot guess how short they are."""
    found = Statement([], [])
    between = f"{_only(source)}r.{source.time} >= s.starts AND r.{source.time} < s.ends"
    if connection.vendor != "postgresql":
        found.say("JOIN", source.table, "r ON", between, _join(source), "WHERE 1 = 1")
        found.extend(narrowing)
        return found
    found.say("CROSS JOIN LATERAL (SELECT * FROM", source.table, "r WHERE", between)
    if not source.joins:
        found.extend(narrowing)
    found.say("OFFSET 0) r")
    if source.joins:
        found.say(_join(source), "WHERE 1 = 1")
        found.extend(narrowing)
    return found


def _only(source: Source) -> str:
    return f"{source.only} AND " if source.only else ""


def _join(source: Source) -> str:
    return source.joins.get(connection.vendor, "")


def conditions(source: Source, filters: Filters, scope: Scope) -> Statement:
    """What narrows the rows of a table, each beginning with AND."""
    found = Statement([], [])
    if scope.team_ids is not None:
        _among(found, source, D.TEAM, sorted(scope.team_ids))
    for dimension, value in (
        (D.CLIENT, scope.client_id), (D.KEY, scope.key_id), (D.USER, scope.user_id)
    ):  # fmt: skip
        if value is not None:
            _among(found, source, dimension, (value,))
    for dimension, values in filters.items():
        if dimension == D.TAG and D.TAG not in source.dimensions:
            _tagged(found, source.tags, values)
        else:
            _among(found, source, dimension, values)
    return found


def _tagged(found: Statement, tags: str, values: Sequence[Value]) -> None:
    """Rows with one of these tags."""
    found.say("AND (1 = 0")
    for value in values:
        key, _, text = str(value).partition("=")
        if connection.vendor == "postgresql":
            found.add(f"OR {tags} ->> %s = %s", key, text)
        else:
            found.add(f"OR json_extract({tags}, %s) = %s", _path(key), text)
    found.say(")")


def _path(key: str) -> str:
    return '$."' + key.replace('"', "") + '"'


def _among(found: Statement, source: Source, dimension: Dimension, values: Sequence[Value]) -> None:
    if not values:
        found.add("AND 1 = 0")
        return
    marks = ", ".join(["%s"] * len(values))
    found.add(f"AND {column_of(source, dimension)} IN ({marks})", *values)


def column_of(source: Source, dimension: Dimension) -> str:
    column = source.dimensions[dimension]
    return column if "(" in column else f"r.{column}"


def instant(at: datetime) -> Any:
    """As the database compares times."""
    return connection.ops.adapt_datetimefield_value(at)


def as_instant(value: Any) -> datetime:
    """A time as a statement gives it: SQLite has texts."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found if found.tzinfo else found.replace(tzinfo=UTC)
