"""Connections: limits by role, pools that survive a fork, a restart and an outage."""

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import close_old_connections, connection, transaction

from chatvault.lib import databases
from tests.run.tree import Tree
from tests.servers.postgres import PostgresServer

transactional = pytest.mark.django_db(transaction=True)


@pytest.fixture
def role() -> Iterator[None]:
    yield
    databases.become("manage")


def shown(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        return cursor.fetchone()[0]


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


@transactional
@pytest.mark.parametrize(
    ("name", "statement", "lock"),
    [
        ("web", "30s", "5s"),
        ("gateway1", "30s", "5s"),
        ("ingest", "0", "0"),
        ("worker", "10min", "5s"),
    ],
)
def test_a_session_has_the_limits_of_its_role(role, name, statement, lock):
    databases.become(name.rstrip("1"))  # this settings' gateways serve the admin, too
    assert shown("statement_timeout") == statement
    assert shown("lock_timeout") == lock
    assert shown("idle_in_transaction_session_timeout") == "1min"
    assert shown("application_name") == f"chatvault-{name.rstrip('1')}"


@transactional
def test_a_gateway_without_pages_waits_for_nothing_long(role, monkeypatch):
    monkeypatch.setattr(
        type(settings.CHATVAULT),
        "serving",
        property(lambda _: type("Serving", (), {"roles": ("gateway", "ingest")})),
        raising=False,
    )
    databases.become("gateway")
    assert (shown("statement_timeout"), shown("lock_timeout")) == ("2s", "1s")


@transactional
def test_a_pool_is_not_shared_with_a_forked_child(role):
    databases.become("web")
    parent = backend()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(tell, str(backend()).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(told, 100)) != parent
    assert backend() == parent  # the child's end did not end our session
    os.close(told)
    os.close(tell)


@transactional
def test_a_fork_within_a_transaction_leaves_it_to_the_parent(role):
    databases.become("web")
    with transaction.atomic():
        parent = backend()
        child = os.fork()
        if child == 0:
            os._exit(0 if backend() != parent and not connection.in_atomic_block else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert backend() == parent


@transactional
def test_connections_that_were_terminated_are_replaced_before_they_are_used(role, postgres_server):
    databases.become("web")
    before = backend()
    connection.close()  # as at the end of a request: back to the pool
    postgres_server.end_connections(str(connection.settings_dict["NAME"]))
    close_old_connections()
    assert backend() != before


COOKIE = {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"}


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=COOKIE), timeout=15
        ) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        if error.code == 503:
            assert error.headers["Retry-After"] == "2"
        return error.code


@pytest.mark.run
def test_the_admin_says_503_while_the_database_is_away_and_then_goes_on(
    own_postgres: PostgresServer, tmp_path: Path
):
    url = own_postgres.make_database("outage")
    with Tree(tmp_path / "home", "--only", "web", DATABASE_URL=url) as tree:
        page = tree.ready("web").state()["url"] + "/admin/"
        assert status_of(page) == 200
        own_postgres.end_connections("outage")
        assert status_of(page) == 200
        own_postgres.kill()
        assert status_of(page) == 503
        own_postgres.start()
        deadline = time.monotonic() + 10
        seen = []
        while (found := status_of(page)) != 200:
            seen.append(found)
            assert time.monotonic() < deadline, tree.output()
        assert set(seen) <= {503}
        own_postgres.stop()
        assert status_of(page) == 503
        own_postgres.start()
        tree.wait_for(lambda: status_of(page) == 200)
        assert tree.stop(signal.SIGTERM) == 0
