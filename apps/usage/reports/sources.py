"""The SQL of reports: which columns of which table are added up, and how.

Every statement is made of the names of our own tables and columns and of marks for values; what
is asked for comes in as values only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection, connections, router
from django.db.models import Model

from apps.usage.models import DayRollup, HourlyRollup, RequestLog, TagDay, TagHour
from apps.usage.reports.periods import Span
from apps.usage.reports.query import Dimension, Filters, Query, Scope, Value

D = Dimension
IDS_OF: Final[dict[Dimension, str]] = {
    D.TEAM: "team_id",
    D.CLIENT: "client_id",
    D.KEY: "key_id",
    D.USER: "user_id",
    D.ALIAS: "alias",
    D.DEPLOYMENT: "deployment_id",
    D.PROVIDER: "provider_id",
}
_OF_ANSWERS: Final = {D.OUTCOME: "outcome", D.STATUS: "http_status", D.ERROR: "error_code"}
TOKENS: Final = (
    *("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens"),
    *("cache_write_1h_tokens", "reasoning_tokens", "audio_input_tokens", "audio_output_tokens"),
    *("image_input_tokens", "image_output_tokens"),
)
MONEY: Final = ("cost_nano", "charged_nano")
SUMS: Final = (
    *("requests", "errors", *TOKENS, "images", "duration_ms", "searches", *MONEY),
    *("latency_ms_sum", "latency_count", "first_token_ms_sum", "first_token_count"),
)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table to add up: its rows have a time and, for each dimension that it knows, a column."""

    table: str
    time: str
    dimensions: Mapping[Dimension, str]
    sums: Mapping[str, str]  # the column, or what stands for it in each row
    joins: Mapping[str, str] = field(default_factory=dict)
    """By the kind of database: what each row is joined with."""

    def knows(self, wanted: Iterable[Dimension], names: Iterable[str]) -> bool:
        return self.dimensions.keys() >= set(wanted) and self.sums.keys() >= set(names)


def _of(model: type[Model], time: str, dimensions: Mapping[Dimension, str]) -> Source:
    """A table of sums: those dimensions of which it has a column."""
    has = {column.name for column in model._meta.fields}
    return Source(
        table=model._meta.db_table,
        time=time,
        dimensions={name: column for name, column in dimensions.items() if column in has},
        sums={name: f"r.{name}" for name in SUMS if name in has},
    )


def _row_sums() -> dict[str, str]:
    return {name: f"r.{name}" for name in SUMS} | {
        "requests": "1",
        "errors": "CASE WHEN r.outcome IN ('error', 'interrupted') THEN 1 ELSE 0 END",
        "latency_ms_sum": "COALESCE(r.latency_ms, 0)",
        "latency_count": "CASE WHEN r.latency_ms IS NULL THEN 0 ELSE 1 END",
        "first_token_ms_sum": "COALESCE(r.first_token_ms, 0)",
        "first_token_count": "CASE WHEN r.first_token_ms IS NULL THEN 0 ELSE 1 END",
    }


_OF_TAGS: Final = {
    D.TAG: "tag", D.TEAM: "team_id", D.CLIENT: "client_id", D.ALIAS: "alias"
}  # fmt: skip
LATENCIES_BY: Final = {
    D.TEAM: "team_id",
    D.CLIENT: "client_id",
    D.ALIAS: "alias",
    D.DEPLOYMENT: "deployment_id",
}
"""What is kept of how long requests took."""

DAYS: Final = _of(DayRollup, "day", {**IDS_OF, **_OF_ANSWERS})
HOURS: Final = _of(HourlyRollup, "hour", IDS_OF)
TAG_DAYS: Final = _of(TagDay, "day", _OF_TAGS)
TAG_HOURS: Final = _of(TagHour, "hour", _OF_TAGS)
ROWS: Final = Source(
    table=RequestLog._meta.db_table,
    time="started_at",
    dimensions={
        **IDS_OF,
        **_OF_ANSWERS,
        D.USER: "COALESCE(r.user_id, 0)",
        D.DEPLOYMENT: "COALESCE(r.deployment_id, 0)",
        D.PROVIDER: "COALESCE(r.provider_id, 0)",
    },
    sums=_row_sums(),
)
ROWS_BY_TAG: Final = replace(
    ROWS,
    dimensions={**ROWS.dimensions, D.TAG: "(t.key || '=' || t.value)"},
    joins={
        "postgresql": "CROSS JOIN LATERAL jsonb_each_text("
        "CASE WHEN jsonb_typeof(r.tags) = 'object' THEN r.tags END) t",
        "sqlite": "JOIN json_each(CASE WHEN json_type(r.tags) = 'object' THEN r.tags END) t",
    },
)
"""Each row as often as it has tags."""


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
    one instant. Groups without a single request are left out."""
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
    found.add(f") AS parts GROUP BY {groups} HAVING SUM({names[0]}) <> 0 LIMIT %s", most)
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


def _piece(
    query: Query,
    source: Source,
    named: tuple[list[Span], str],
    names: Sequence[str],
    also: tuple[str, ...],
) -> Statement:
    """The rows of one table, each with its period and its sign."""
    spans, table_of_spans = named
    found = Statement([], [])
    keys = [
        f"{column_of(source, dimension)} AS k{number}"
        for number, dimension in enumerate(query.group_by)
    ]
    keys += [f"{source.sums[name]} AS {name}" for name in also]
    if len(spans) == 1:
        only = spans[0]
        sign = "" if only.sign == 1 else "-1 * "
        columns = ["CAST(%s AS integer) AS period", *keys, *_signed(source, names, sign)]
        found.add("SELECT", only.period)
        found.say(", ".join(columns), "FROM", source.table, "r", _join(source))
        found.add(
            f"WHERE r.{source.time} >= %s AND r.{source.time} < %s",
            *(instant(only.start), instant(only.end)),
        )
    else:
        columns = ["s.period AS period", *keys, *_signed(source, names, "s.sign * ")]
        found.say("SELECT", ", ".join(columns), "FROM", table_of_spans, "s JOIN", source.table, "r")
        found.add(f"ON r.{source.time} >= s.starts AND r.{source.time} < s.ends")
        found.say(_join(source), "WHERE 1 = 1")
    found.extend(conditions(source, query.filters, query.scope))
    return found


def _join(source: Source) -> str:
    return source.joins.get(connection.vendor, "")


def _signed(source: Source, names: Sequence[str], sign: str) -> list[str]:
    return [f"{sign}{source.sums[name]} AS {name}" for name in names]


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
            _tagged(found, values)
        else:
            _among(found, source, dimension, values)
    return found


def _tagged(found: Statement, values: Sequence[Value]) -> None:
    """Rows with one of these tags."""
    found.say("AND (1 = 0")
    for value in values:
        key, _, text = str(value).partition("=")
        if connection.vendor == "postgresql":
            found.add("OR r.tags ->> %s = %s", key, text)
        else:
            found.add("OR json_extract(r.tags, %s) = %s", _path(key), text)
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
