"""What reports add up: the tables of sums by hour and by day, the rows themselves, and what the
ledger has changed since requests were settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from django.db.models import Model

from apps.usage.models import DayRollup, HourlyRollup, RequestLog, TagDay, TagHour
from apps.usage.reports.query import Dimension

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
ADJUSTED: Final = ("adjusted_cost_nano", "adjusted_charged_nano")
"""By how much groups are dearer now than their rows say."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table to add up: its rows have a time and, for each dimension that it knows, a column."""

    table: str
    time: str
    dimensions: Mapping[Dimension, str]
    sums: Mapping[str, str]  # the column, or what stands for it in each row
    joins: Mapping[str, str] = field(default_factory=dict)
    """By the kind of database: what each row is joined with."""
    only: str = ""
    """A condition that all of its rows meet."""
    view: str = ""
    """What its rows are called in their table, if it has others, too."""
    tags: str = "r.tags"
    """Where each row has its tags, if the dimension is not known."""

    @property
    def between(self) -> str:
        """All its rows between two times."""
        only = f"{self.only} AND " if self.only else ""
        return f"WHERE {only}r.{self.time} >= %s AND r.{self.time} < %s"

    def knows(self, wanted: Iterable[Dimension], names: Iterable[str]) -> bool:
        return self.dimensions.keys() >= set(wanted) and self.sums.keys() >= set(names)


def _of(model: type[Model], time: str, dimensions: Mapping[Dimension, str]) -> Source:
    """A table of sums: those dimensions of which it has a column."""
    has = {column.name for column in model._meta.fields}
    return Source(
        table=model._meta.db_table,
        time=time,
        dimensions={name: column for name, column in dimensions.items() if column in has},
        sums={name: f"r.{name}" if name in has else "0" for name in (*SUMS, *ADJUSTED)},
    )


def _row_sums() -> dict[str, str]:
    return (
        {name: f"r.{name}" for name in SUMS}
        | dict.fromkeys(ADJUSTED, "0")
        | {
            "requests": "1",
            "errors": "CASE WHEN r.outcome IN ('error', 'interrupted') THEN 1 ELSE 0 END",
            "latency_ms_sum": "COALESCE(r.latency_ms, 0)",
            "latency_count": "CASE WHEN r.latency_ms IS NULL THEN 0 ELSE 1 END",
            "first_token_ms_sum": "COALESCE(r.first_token_ms, 0)",
            "first_token_count": "CASE WHEN r.first_token_ms IS NULL THEN 0 ELSE 1 END",
        }
    )


_TAG: Final = "(t.key || '=' || t.value)"


def _each_tag(tags: str) -> dict[str, str]:
    return {
        "postgresql": "CROSS JOIN LATERAL jsonb_each_text("
        f"CASE WHEN jsonb_typeof({tags}) = 'object' THEN {tags} END)",
        "sqlite": f"JOIN json_each(CASE WHEN json_type({tags}) = 'object' THEN {tags} END)",
    }


COLUMNS: Final = {**IDS_OF, **_OF_ANSWERS, D.TAG: "tag"}
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
    dimensions={**ROWS.dimensions, D.TAG: _TAG},
    joins={name: f"{words} t" for name, words in _each_tag("r.tags").items()},
)
"""Each row as often as it has tags."""

_TAGS_OF_ENTRY: Final = "COALESCE(r.tags, q.tags)"
_OF_THE_REQUEST: Final = {
    "postgresql": "LEFT JOIN LATERAL (SELECT * FROM usage_requestlog x WHERE "
    "x.request_id = r.request_id AND x.started_at = r.booked_at LIMIT 1) q ON true",
    "sqlite": "LEFT JOIN usage_requestlog q ON "
    "q.request_id = r.request_id AND q.started_at = r.booked_at",
}
ADJUSTMENTS: Final = Source(
    table="billing_ledgerentry",
    time="booked_at",
    dimensions={D.TEAM: "team_id", D.CLIENT: "client_id", D.KEY: "key_id"},
    sums={
        **dict.fromkeys(SUMS, "0"),
        "adjusted_cost_nano": "CASE WHEN r.account = 'provider' THEN r.amount_nano ELSE 0 END",
        "adjusted_charged_nano": "CASE WHEN r.account = 'client' THEN -r.amount_nano ELSE 0 END",
    },
    only="r.kind = 'adjustment'",
)
"""The entries of the ledger, which are dated as the requests are that they correct."""
ADJUSTMENTS_OF_REQUESTS: Final = replace(
    ADJUSTMENTS,
    dimensions={
        **ADJUSTMENTS.dimensions,
        D.USER: "COALESCE(r.user_id, q.user_id, 0)",  # entries of earlier versions say less
        D.ALIAS: "COALESCE(NULLIF(r.alias, ''), q.alias, '')",
        D.PROVIDER: "COALESCE(r.provider_id, q.provider_id, 0)",
        D.DEPLOYMENT: "COALESCE(q.deployment_id, 0)",
        D.OUTCOME: "COALESCE(q.outcome, '')",
        D.STATUS: "COALESCE(q.http_status, 0)",
        D.ERROR: "COALESCE(q.error_code, '')",
    },
    joins=_OF_THE_REQUEST,
    tags=_TAGS_OF_ENTRY,
)
"""With what only the requests know of them."""
ADJUSTMENTS_BY_TAG: Final = replace(
    ADJUSTMENTS_OF_REQUESTS,
    dimensions={**ADJUSTMENTS_OF_REQUESTS.dimensions, D.TAG: _TAG},
    joins={
        name: f"{_OF_THE_REQUEST[name]} {words} t"
        for name, words in _each_tag(_TAGS_OF_ENTRY).items()
    },
)
