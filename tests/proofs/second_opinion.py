"""Reports against DuckDB: the same sums from the exported rows, by somebody else's engine."""

import io
import json
import urllib.error
import urllib.request
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import duckdb
import pyarrow.parquet

from tests.proofs.figures import Figures
from tests.proofs.stage import Stage

ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata")
BUCKETS = ("hour", "day")
GROUPS = (("client", "alias"), ("deployment", "user"), ("tag",), ("status", "outcome"))
_COLUMNS = {
    "client": "client_id",
    "alias": "alias",
    "deployment": "coalesce(deployment_id, 0)",
    "user": "coalesce(user_id, 0)",
    "status": "status",
    "outcome": "outcome",
}
_COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens",
           "reasoning_tokens")  # fmt: skip


def compare(stage: Stage, readers: list[str], figures: Figures, span: tuple[str, str]) -> None:
    """`readers` are clients whose keys may read their team's usage."""
    reports = wrong = rows = 0
    for reader in readers:
        key = stage.key_of(reader)
        table = _exported(stage, key, span)
        rows += table.num_rows
        for zone in ZONES:
            for bucket in BUCKETS:
                for group in GROUPS:
                    asked = {"start": span[0], "end": span[1], "time_zone": zone,
                             "bucket": bucket, "group_by": group}  # fmt: skip
                    told = json.loads(_get(stage, key, "usage/summary", **asked))
                    is_same = _lines(told, group) == _computed(table, zone, bucket, group)
                    wrong += not is_same
                    reports += 1
    figures.note(reports=reports, exported_rows=rows)
    figures.require(reports_unlike_duckdb=(wrong, 0))


def _get(stage: Stage, key: str, path: str, **query: Any) -> bytes:
    request = urllib.request.Request(
        f"{stage.url}/api/v1/{path}?{urlencode(query, doseq=True)}",
        headers={"authorization": f"Bearer {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{request.full_url}: {error.read().decode()}") from error
    return body


def _exported(stage: Stage, key: str, span: tuple[str, str]) -> Any:
    file = _get(stage, key, "usage/export", format="parquet", start=span[0], end=span[1])
    return pyarrow.parquet.read_table(io.BytesIO(file))


Line = tuple[Any, ...]


def _lines(answer: dict[str, Any], group: tuple[str, ...]) -> list[Line]:
    return sorted(
        (
            line["bucket"][:19],
            *(str(line["group"][name]) for name in group),
            line["requests"],
            line["errors"],
            *(line[name] for name in _COUNTS),
            Decimal(line["cost"]),
            Decimal(line["charged"]),
        )
        for line in answer["results"]
    )


def _computed(table: Any, zone: str, bucket: str, group: tuple[str, ...]) -> list[Line]:
    database = duckdb.connect()
    database.register("rows", table)
    source, keys = "rows", ", ".join(f"({_COLUMNS.get(name, name)})::text" for name in group)
    if "tag" in group:
        source = (
            "(SELECT r.*, pair.key || '=' || json_extract_string(pair.value, '$') AS tag "
            "FROM rows r, json_each(r.tags::json) pair WHERE r.tags IS NOT NULL)"
        )
    at = f"date_trunc('{bucket}', started_at AT TIME ZONE '{zone}')"
    sums = ", ".join(f"sum({name})::bigint" for name in _COUNTS)
    statement = (
        f"SELECT strftime({at}, '%Y-%m-%dT%H:%M:%S'), {keys}, "
        f"count(*), count(*) FILTER (outcome IN ('error', 'interrupted')), {sums}, "
        f"sum(cost_usd), sum(charged_usd) FROM {source} GROUP BY ALL"
    )
    return sorted(database.execute(statement).fetchall())
