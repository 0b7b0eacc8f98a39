"""Reports from a real streaming replica; everything else, and every failure, from the primary."""

import copy
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.models import User
from apps.billing.models import LedgerEntry
from apps.usage.models import RequestLog
from chatvault.lib import replica, tenancy
from tests.factories import make_request, make_user
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("replica")]


@pytest.fixture(scope="module")
def standby(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory, django_db_setup: None
) -> Iterator[PostgresServer]:
    folder = postgres_server.data.parent.parent / "standby"
    made = postgres_server.make_replica(folder).start()
    yield made
    made.kill()


@pytest.fixture
def alias(standby: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    """Django knows the replica, and this process nothing of it yet."""
    values = copy.deepcopy(connections.settings["default"])
    values |= {"HOST": str(standby.socket_dir), "PORT": str(standby.port), "CONN_MAX_AGE": 60}
    monkeypatch.setitem(connections.settings, "replica", values)
    guarded = BaseDatabaseWrapper.ensure_connection  # the tests' own guard knows no such alias

    def ensure_connection(connection: BaseDatabaseWrapper) -> None:
        if connection.alias != "replica":
            guarded(connection)
        elif connection.connection is None:
            with connection.wrap_database_errors:
                connection.connect()

    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", ensure_connection)
    monkeypatch.setattr(replica, "_watch", replica._Watch())
    monkeypatch.setattr(replica, "_LOOK_S", 0.0)
    if not standby.is_running:
        standby.start()
    yield standby
    connections["replica"].close()
    del connections["replica"]


def lag(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    section = settings.CHATVAULT.database.model_copy(update={"replica_max_lag_s": seconds})
    monkeypatch.setattr(
        type(settings.CHATVAULT), "database", property(lambda _: section), raising=False
    )


def place() -> str:
    with replica.reading():
        return str(RequestLog.objects.all().db)


def wait_for(where: str) -> None:
    deadline = time.monotonic() + 10
    while place() != where:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_reports_are_read_from_it_and_nothing_else_is(alias):
    make_request()
    wait_for("replica")
    assert RequestLog.objects.all().db == "default"
    with replica.reading():
        assert LedgerEntry.objects.all().db == "replica"
        assert User.objects.all().db == "default"
        assert make_request()._state.db == "default"


def test_a_page_of_the_request_log_comes_from_it(alias, client):
    row = make_request(alias="seen-on-the-replica")
    client.force_login(make_user(is_staff=True, is_superuser=True))
    wait_for("replica")
    for url in (
        reverse("admin:usage_requestlog_changelist"),
        reverse("admin:usage_requestlog_change", args=[row.pk]),
        reverse("admin:index"),
        reverse("admin:billing_ledgerentry_changelist"),
    ):
        deadline = time.monotonic() + 5
        while True:  # the row has to arrive there
            with CaptureQueriesContext(connections["replica"]) as asked:
                page = client.get(url)
            if "seen-on-the-replica" in page.content.decode() or "requestlog" not in url:
                break
            assert time.monotonic() < deadline
        assert page.status_code == 200
        assert any("usage_" in one["sql"] or "billing_" in one["sql"] for one in asked)


def test_who_is_limited_to_teams_is_so_there_as_well(alias, monkeypatch, rf):
    section = settings.CHATVAULT.database.model_copy(update={"row_security": True})
    monkeypatch.setattr(
        type(settings.CHATVAULT), "database", property(lambda _: section), raising=False
    )
    make_request()
    wait_for("replica")

    def said(_: object) -> tuple[object, ...]:
        found = []
        for name in ("default", "replica"):
            with connections[name].cursor() as cursor:
                cursor.execute("SELECT current_setting('chatvault.team_ids', true)")
                found.append(cursor.fetchone()[0] or "")
        return tuple(found)

    with tenancy.limited_to([7]):
        assert replica.tolerant(said)(rf.get("/")) == ("7", "7")
    assert replica.tolerant(said)(rf.get("/")) == ("", "")


def test_one_that_is_too_far_behind_is_not_asked(alias, monkeypatch):
    lag(0.2, monkeypatch)
    wait_for("replica")
    alias.execute("SELECT pg_wal_replay_pause()")
    make_request()
    wait_for("default")
    make_request()
    time.sleep(0.3)
    assert place() == "default"
    alias.execute("SELECT pg_wal_replay_resume()")
    wait_for("replica")


def test_an_idle_primary_makes_no_replica_old(alias, monkeypatch):
    lag(0.2, monkeypatch)
    wait_for("replica")
    time.sleep(0.5)
    assert place() == "replica"


def test_one_that_dies_between_two_looks_costs_no_page(alias, client, monkeypatch):
    make_request(alias="seen-on-the-primary")
    client.force_login(make_user(is_staff=True, is_superuser=True))
    wait_for("replica")
    monkeypatch.setattr(replica, "_LOOK_S", 60.0)
    assert place() == "replica"
    alias.kill()
    for url in (reverse("admin:usage_requestlog_changelist"), reverse("admin:index")):
        page = client.get(url)
        assert page.status_code == 200
    page = client.get(reverse("admin:usage_requestlog_changelist"))
    assert "seen-on-the-primary" in page.content.decode()
    assert place() == "default"
    monkeypatch.setattr(replica, "_watch", replica._Watch())
    monkeypatch.setattr(replica, "_LOOK_S", 0.0)
    alias.start()
    wait_for("replica")


def test_what_is_posted_never_reads_from_it(alias, rf):
    wait_for("replica")
    seen = []

    @replica.tolerant
    def view(request):
        seen.append(RequestLog.objects.all().db)

    view(rf.get("/"))
    view(rf.post("/"))
    assert seen == ["replica", "default"]


def test_only_reports_may_read_from_it():
    """Who decides by what a replica says decides by the past."""
    root = Path(__file__).resolve().parent.parent.parent
    users = {
        str(path.relative_to(root))
        for path in [*(root / "apps").rglob("*.py"), *(root / "chatvault").rglob("*.py")]
        if "replica.tolerant" in path.read_text() or "replica.reading" in path.read_text()
    }
    assert users == {
        "apps/usage/admin/request_log.py", "apps/usage/api/rows.py", "apps/usage/api/summary.py",
        "apps/usage/dashboard.py", "apps/billing/admin/ledger.py",
    }  # fmt: skip
