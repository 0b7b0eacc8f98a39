"""Fixtures that many folders need; what only one needs lives in that folder's conftest."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.environment import POSTGRES_PORT
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.upstream import FakeUpstream
from tests.servers.postgres import own_postgres, postgres_server, postgres_url
from tests.servers.valkey import redis_server, redis_url, valkey_server, valkey_url

if TYPE_CHECKING:
    from django.http import HttpRequest
    from pytest_django import DjangoDbBlocker

    from apps.gateway.plane import PlaneOptions
    from tests.gateway.testbed import Gateway, Server

__all__ = [
    "own_postgres",
    "postgres_server",
    "postgres_url",
    "redis_server",
    "redis_url",
    "valkey_server",
    "valkey_url",
]


@pytest.fixture(scope="session")
def django_db_modify_db_settings_tox_suffix() -> None:
    """SQLite is in memory, also for several test processes, which would each have a file: the
    engine that counts statements has another name than the one that pytest-django knows."""
    from django.conf import settings

    if not POSTGRES_PORT:
        for database in settings.DATABASES.values():
            database.setdefault("TEST", {})["NAME"] = ":memory:"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, request: pytest.FixtureRequest
) -> None:
    """Django's own database is the real PostgreSQL with CHATVAULT_TEST_DATABASE=postgresql."""
    if POSTGRES_PORT:
        request.getfixturevalue("postgres_server")


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest) -> bool:
    """A database of PostgreSQL goes with its server, whoever is still connected to it."""
    return bool(POSTGRES_PORT) or bool(request.config.getvalue("reuse_db"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With CHATVAULT_TEST_DATABASE=postgresql only what touches Django's database is run again."""
    if not POSTGRES_PORT:
        return
    left_out = [item for item in items if not _touches_rows(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if _touches_rows(item)]


def _touches_rows(item: pytest.Item) -> bool:
    is_ours = item.nodeid.startswith(("tests/postgres/", "tests/servers/"))
    fixtures = set(getattr(item, "fixturenames", ()))
    is_marked = item.get_closest_marker("django_db") is not None
    return is_ours or is_marked or bool(fixtures & {"db", "transactional_db"})


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Tests with `transaction=True` end by emptying every table, the audit trail among them, and
    so may TRUNCATE the ledger where nobody looks at that trigger."""
    from django.db import connection

    from apps.audit import guard

    with django_db_blocker.unblock():
        guard.remove(connection)
    if POSTGRES_PORT:
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "DROP TRIGGER IF EXISTS billing_ledgerentry_no_truncate ON billing_ledgerentry"
            )


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    """Attempts that earlier tests made in this process are not counted in the next."""
    cached = sys.modules.get("django.core.cache")
    if cached is not None and "apps.accounts.throttle" in sys.modules:
        cached.cache.clear()
    watched = sys.modules.get("apps.accounts.api.authentication")
    if watched is not None:
        watched._failures.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _every_write_of_the_api_is_recorded() -> Iterator[None]:
    """By a service that says what changed; the net of production would only say where."""
    from unittest.mock import patch

    def fail(request: HttpRequest) -> None:
        pytest.fail(f"{request.method} {request.path} changed something without an audit event")

    with patch("apps.audit.api_guard.record_unnamed", fail):
        yield


@pytest.fixture(scope="session")
def _upstream_server() -> Iterator[FakeUpstream]:
    fake = FakeUpstream().start()
    yield fake
    fake.stop()


@pytest.fixture
def upstream(_upstream_server: FakeUpstream) -> Iterator[FakeUpstream]:
    """A fake provider with nothing scripted and nothing seen."""
    _upstream_server.reset()
    yield _upstream_server
    problems = list(_upstream_server.oracle.problems)
    _upstream_server.reset()
    assert problems == []


@pytest.fixture
def faultproxy() -> Iterator[type[FaultProxy]]:
    """Makes proxies: `faultproxy.to(host, port)`; all of them end with the test."""
    yield FaultProxy
    FaultProxy.stop_all()


@pytest.fixture(scope="session")
def _gateway_server() -> Iterator[Server]:
    from tests.gateway.testbed import Server

    server = Server().start()
    yield server
    server.stop()


@pytest.fixture
def gateway_options() -> PlaneOptions:
    """Override it where a test needs other deadlines or caps."""
    from tests.gateway.testbed import PATIENT

    return PATIENT


@pytest.fixture
def gateway(
    _gateway_server: Server,
    upstream: FakeUpstream,
    tmp_path: Path,
    gateway_options: PlaneOptions,
) -> Iterator[Gateway]:
    """The real gateway with nothing to offer yet; it may call the fake provider only."""
    from tests.gateway.testbed import Gateway

    made = Gateway(_gateway_server, tmp_path, gateway_options)
    yield made
    made.close()
