"""Every route × method × role × row, against the table in git.

`make test` asks a sample that touches every route; `make matrix` asks all of it, and
`make matrix-table` adds lines for new routes: read the diff before you commit it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from django.urls import resolve
from rest_framework.permissions import AllowAny

from tests.matrix.callers import CALLERS
from tests.matrix.routes import routes
from tests.matrix.table import EXPECTED, MODE, WRITING, Line, World, lines, number_of, read, written

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet(caplog, settings):
    caplog.set_level("CRITICAL")
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "apps.oauth.hashers.RandomSecretHasher",
    ]


def test_every_route_has_its_lines_and_every_line_a_route():
    if MODE in WRITING:
        pytest.skip("the table is being written")
    assert list(read()) == [line.key for line in lines()], "run make matrix-table, read the diff"
    assert all(list(statuses) == list(CALLERS) for statuses in read().values())


def test_every_line_asks_its_route():
    """No other route answers in its place."""
    world = World()
    wrong = [
        (line.key, path)
        for line in lines()
        if resolve(path := line.route.path(world.values(line))).func is not line.route.view
    ]
    assert wrong == []


def test_answers_are_those_of_the_table():
    world = World()
    if MODE in WRITING:
        known = read() if MODE == "add" else {}
        EXPECTED.write_text(
            written({line.key: known.get(line.key) or asked(world, line) for line in lines()})
        )
        return
    expected = read()
    cells = everything() if MODE == "whole" else sample()
    wrong = []
    for line, caller in cells:
        status = world.ask(line, caller)
        if status != expected[line.key][caller]:
            wrong.append(f"{line.key} {caller}: {status}, not {expected[line.key][caller]}")
    assert wrong == []


def everything() -> Iterator[tuple[Line, str]]:
    return ((line, caller) for line in lines() for caller in CALLERS)


def sample() -> Iterator[tuple[Line, str]]:
    """Of every route one line as somebody, and some more; always the same ones."""
    callers = list(CALLERS)
    first = {line.route: line for line in sorted(lines(), key=number_of)}
    for line in lines():
        number = number_of(line)
        if first[line.route] == line or number % 8 == 0:
            yield line, callers[number % len(callers)]


def asked(world: World, line: Line) -> dict[str, int]:
    return {caller: world.ask(line, caller) for caller in CALLERS}


def test_nobody_but_these_answers_without_asking_who():
    """`AllowAny` is a decision: a new one is made here as well."""
    found = set()
    for route in routes():
        kind = getattr(route.view, "cls", None) or getattr(route.view, "view_class", None)
        permissions = getattr(kind, "permission_classes", None)
        if permissions is not None and any(issubclass(each, AllowAny) for each in permissions):
            found.add(route.pattern)
    assert sorted(found) == sorted(OPEN)


OPEN: Final = (
    "api/docs/",
    "api/redoc/",
    "api/schema/",
    "api/v1/auth/jwks.json",
    "api/v1/auth/token",
    "api/v1/auth/token/refresh",
    "api/v1/auth/token/revoke",
    "api/v1/auth/token/verify",
    "livez",
    "readyz",
    "v1/<path:rest>",
    "v1/chat/completions",
    "v1/completions",
    "v1/embeddings",
    "v1/models",
    "v1/models/<path:model>",
)
