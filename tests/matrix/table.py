"""The table: a line a route, method and row; a column a caller; in it the status of the answer."""

from __future__ import annotations

import csv
import io
import os
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.core.cache import cache
from django.db import transaction
from django.test import Client as Browser

from apps.accounts.api import authentication
from tests.matrix.callers import CALLERS
from tests.matrix.places import Place
from tests.matrix.routes import Route, routes

MODE: Final = os.environ.get("MATRIX", "sample")
"""`sample`, `whole`; `add` asks what is not in the table, `write` makes all of it anew."""
WRITING: Final = ("add", "write")
EXPECTED: Final = Path(__file__).with_name("expected.csv")
HEAD: Final = ("route", "method", "row", *CALLERS)
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
_ABSENT: Final = "987654321"
_WORDS: Final = {
    "app_label": "accounts", "state": "resolved", "url": "nothing", "rest": "nothing",
    "model": "nothing", "content_type_id": "1",
}  # fmt: skip
"""What arguments are that name no row."""

API_ROWS: Final = {
    "teams": "accounts.team", "clients": "accounts.client", "keys": "accounts.apikey",
    "budgets": "billing.budget", "what-if": "forecasts.whatif",
    "people": "accounts.user", "quotas": "billing.quota",
    "alert-channels": "alerts.channel", "alerts": "alerts.alert",
    "alert-deliveries": "alerts.delivery", "budget-lines": "alerts.budgetlines",
    "quota-overrides": "billing.quotaoverride", "oauth": "oauth.application",
}  # fmt: skip
"""Whose rows the arguments of `/api/v1/<word>/…` are."""
ARGUMENTS: Final = {"raise_id": "billing.budgetraise"}
"""Arguments that are of other rows than the first of their route."""


def is_of_the_hot_path(route: Route) -> bool:
    """Asked at a real gateway instead: see test_hot_path.py."""
    return route.pattern.startswith("v1/") or route.pattern in ("livez", "readyz")


@dataclass(frozen=True)
class Line:
    route: Route
    method: str
    row: str  # own, other, absent; "" where the route names none

    @property
    def key(self) -> tuple[str, str, str]:
        return self.route.pattern, self.method, self.row


class World:
    """The rows and callers that the table is made with."""

    def __init__(self) -> None:
        shared: dict[str, Any] = {}
        self.own, self.other = Place("own", shared), Place("other", shared)
        self.callers: dict[str, Browser] = {name: make(self.own) for name, make in CALLERS.items()}
        self.cookies = {
            name: each.cookies.output(header="", sep=";") for name, each in self.callers.items()
        }
        for route in routes():
            if (model := model_of(route)) is not None:
                for place in (self.own, self.other):
                    place.row(model)

    def ask(self, line: Line, caller: str) -> int:
        """The status; what the request changed is undone."""
        cache.clear()
        authentication._failures.cache_clear()
        browser = self.callers[caller]
        browser.cookies = SimpleCookie(self.cookies[caller])  # one of the pages signs out
        with transaction.atomic():
            is_api = line.route.pattern.startswith("api/")
            answer = browser.generic(
                line.method,
                line.route.path(self.values(line)),
                b"{}" if is_api else b"",
                content_type=JSON if is_api else FORM,
            )
            if getattr(answer, "streaming", False):
                answer.close()
            transaction.set_rollback(True)
        return answer.status_code

    def values(self, line: Line) -> dict[str, str]:
        return {name: self._value(line, name) for name in line.route.arguments}

    def _value(self, line: Line, name: str) -> str:
        if name in _WORDS or line.row in ("", "absent"):
            absent = str(uuid.UUID(int=1)) if f"<uuid:{name}>" in line.route.pattern else _ABSENT
            return _WORDS.get(name, absent)
        place = self.own if line.row == "own" else self.other
        if name in ARGUMENTS:
            return str(place.row(apps.get_model(ARGUMENTS[name])).pk)
        model = model_of(line.route)
        assert model is not None, f"tests/matrix/table.py: whose rows does {line.route} name?"
        row = place.row(model)
        value = getattr(row, name) if name not in ("id", "pk") and hasattr(row, name) else row.pk
        return str(value)


def model_of(route: Route) -> Any:
    if route.model is not None:
        return route.model
    parts = route.pattern.split("/")
    label = API_ROWS.get(parts[2]) if route.pattern.startswith("api/v1/") else None
    return apps.get_model(label) if label else None


def lines() -> Iterator[Line]:
    for route in routes():
        if is_of_the_hot_path(route):
            continue
        named = [each for each in route.arguments if each not in _WORDS]
        rows = ("own", "other", "absent") if named and model_of(route) else ("",)
        for method in route.methods:
            for row in rows:
                yield Line(route, method, row)


def number_of(line: Line) -> int:
    """The same in every run, and spread evenly."""
    return zlib.crc32("|".join(line.key).encode())


def is_in_sample(line: Line, caller: str, *, one_in: int) -> bool:
    return zlib.crc32("|".join((*line.key, caller)).encode()) % one_in == 0


def read() -> dict[tuple[str, str, str], dict[str, int]]:
    with EXPECTED.open(newline="") as file:
        return {
            (row["route"], row["method"], row["row"]): {
                caller: int(status)
                for caller, status in row.items()
                if caller not in ("route", "method", "row")
            }
            for row in csv.DictReader(file)
        }


def written(table: dict[tuple[str, str, str], dict[str, int]]) -> str:
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerow(HEAD)
    for key, statuses in table.items():
        sheet.writerow((*key, *(statuses[caller] for caller in CALLERS)))
    return text.getvalue()
