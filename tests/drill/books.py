"""What a database knows of each request, read without ChatVault's own code."""

import sqlite3
import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

_OF_A_REQUEST = (
    "client_id, team_id, key_id, client_name, alias, deployment_name, is_stream, outcome, "
    "http_status, input_tokens, output_tokens, cost_nano, charged_nano, price_id, attempts"
)
_REQUESTS = f"SELECT request_id, {_OF_A_REQUEST} FROM usage_requestlog"
_ENTRIES = (
    "SELECT request_id, number, account, kind, amount_nano, client_id, team_id, key_id "
    "FROM billing_ledgerentry ORDER BY request_id, number, account"
)
_ROLLUPS = "SELECT SUM(requests), SUM(cost_nano), SUM(charged_nano) FROM usage_hoursums"
_WINDOWS = "SELECT budget_id, settled_nano FROM billing_budgetwindow ORDER BY budget_id"

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Books:
    """All that must be equal after a restore. Ids are 32 hex digits."""

    requests: dict[str, Row]
    entries: dict[str, list[Row]]
    sums: Row

    def of(self, request_id: str) -> tuple[Row | None, list[Row]]:
        return self.requests.get(request_id), self.entries.get(request_id, [])

    def outcome(self, request_id: str) -> str:
        return str(self.requests[request_id][7])


def read_postgres(url: str) -> Books:
    with psycopg.connect(url) as connection:
        return _books(lambda statement: connection.execute(statement).fetchall())


def read_sqlite(path: Path) -> Books:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return _books(lambda statement: connection.execute(statement).fetchall())


def _books(ask: Any) -> Books:
    requests = {_hex(one): tuple(map(_plain, rest)) for one, *rest in ask(_REQUESTS)}
    entries: dict[str, list[Row]] = {}
    for one, *rest in ask(_ENTRIES):
        entries.setdefault(_hex(one), []).append(tuple(rest))
    return Books(requests, entries, (*map(int, ask(_ROLLUPS)[0]), *ask(_WINDOWS)))


def _hex(value: object) -> str:
    return value.hex if isinstance(value, uuid.UUID) else uuid.UUID(str(value)).hex


def _plain(value: object) -> object:
    return int(value) if isinstance(value, bool) else value
