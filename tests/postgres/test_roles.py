"""The roles of docs/postgresql.md, made by its own SQL, and what each of them cannot do."""

import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.apps import apps

from apps.usage import row_security
from chatvault.lib import clock
from chatvault.lib.ids import uuid7_bytes
from tests.run.tree import ROOT, environment
from tests.servers.postgres import PostgresServer
from tests.usage.samples import intent, settle, start
from tests.usage.world import World

pytestmark = pytest.mark.xdist_group("roles")

SQL = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "postgresql.md").read_text(), re.DOTALL)
SEED = """
from tests.factories import *
from chatvault.lib import clock
for number in (1, 2):
    team = make_team(pk=number)
    client = make_client(pk=number, team=team)
    key = make_key(client=client).key
    make_request(team_id=number, client_id=number, key_id=key.pk)
    make_ledger_entry(team_id=number, client_id=number, key_id=key.pk)
    make_rollup(team_id=number, client_id=number, key_id=key.pk)
    make_budget(team=team, amount_nano=10**9)
    make_membership(team=team)
"""


class Deployment:
    """A database with the two roles, and commands that run as a node would run them."""

    def __init__(self, server: PostgresServer, home: Path) -> None:
        self.server, self.home = server, home
        self.app = server.tcp_url("chatvault", user="chatvault_app")
        self.owner = server.tcp_url("chatvault", user="chatvault_owner")

    def manage(self, *words: str) -> str:
        surroundings = environment(
            self.home,
            DATABASE_URL=self.app,
            CHATVAULT_DATABASE_OWNER_URL=self.owner,
            CHATVAULT_DATABASE_ROW_SECURITY="true",
            CHATVAULT_SECRET_KEY="s" * 60,
            CHATVAULT_KEY_PEPPER=b64encode(b"p" * 32).decode(),
            CHATVAULT_VAULT_KEYS=f"k1:{b64encode(b'v' * 32).decode()}",
        )
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def as_app(self, teams: str | None = None) -> psycopg.Connection:
        options = "" if teams is None else f"-c chatvault.team_ids={teams}"
        return psycopg.connect(self.app, options=options, autocommit=True)


@pytest.fixture(scope="module")
def deployment(
    own_postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    made = Deployment(own_postgres, tmp_path_factory.mktemp("roles"))
    create, grant, restrict = SQL
    for statement in filter(str.strip, create.split(";")):
        own_postgres.execute(statement)
    own_postgres.execute(grant, database="chatvault")
    made.manage("migrate", "-v0")
    own_postgres.execute(restrict, database="chatvault")
    made.manage("row_security", "on")
    made.manage("shell", "-v0", "-c", SEED)
    yield made


TABLES = ("usage_requestlog", "usage_hoursums", "billing_ledgerentry", "billing_budget",
          "accounts_team", "accounts_client", "accounts_apikey", "accounts_membership")  # fmt: skip


def counts(connection: psycopg.Connection) -> dict[str, int]:
    return {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES
    }


def test_every_table_of_a_tenant_is_protected(deployment):
    assert deployment.manage("row_security", "status").startswith(
        f"{len(row_security.POLICIES)} of {len(row_security.POLICIES)} tables"
    )
    keyed = {"team_id", "client_id", "key_id", "apikey_id", "budget_id"}
    tenant = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if model.__module__.startswith("apps.")
        and keyed & {field.column for field in model._meta.concrete_fields}
    }
    assert tenant - row_security.POLICIES.keys() == set()


def test_a_session_sees_the_rows_of_its_teams_and_no_others(deployment):
    with deployment.as_app("1") as one, deployment.as_app("2") as two:
        assert counts(one) == counts(two) == dict.fromkeys(TABLES, 1)
        raw = "SELECT DISTINCT team_id FROM {} UNION SELECT team_id FROM billing_ledgerentry"
        assert one.execute(raw.format("usage_requestlog")).fetchall() == [(1,)]
        assert two.execute(raw.format("usage_hoursums")).fetchall() == [(2,)]
    with deployment.as_app("1,2") as both, deployment.as_app("*") as everybody:
        assert counts(both) == counts(everybody) == dict.fromkeys(TABLES, 2)


@pytest.mark.parametrize("teams", [None, "", "3"])
def test_a_session_without_a_team_sees_nothing(deployment, teams):
    with deployment.as_app(teams) as nobody:
        assert counts(nobody) == dict.fromkeys(TABLES, 0)


def test_no_row_of_another_team_can_be_written_or_changed(deployment):
    with deployment.as_app("1") as one:
        assert (
            one.execute("UPDATE billing_budget SET amount_nano = 1 WHERE team_id = 2").rowcount == 0
        )
        assert one.execute("DELETE FROM accounts_membership WHERE team_id = 2").rowcount == 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            one.execute("UPDATE accounts_client SET team_id = 2")


def test_a_partition_that_is_asked_by_its_name_shows_nothing(deployment):
    deployment.manage(
        "shell", "-v0", "-c", "from apps.usage import partitions; partitions.ensure(20)"
    )
    today = f"usage_requestlog_p{clock.now():%Y%m%d}"
    later = deployment.server.execute(
        "SELECT max(relname) FROM pg_class WHERE relkind = 'r' "
        "AND relname LIKE 'usage_requestlog_p%'",
        database="chatvault",
    )[0][0]
    with deployment.as_app("*") as everybody:
        for partition in (today, "usage_requestlog_default", later):
            assert everybody.execute(f"SELECT count(*) FROM {partition}").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE billing_ledgerentry SET amount_nano = 0",
        "DELETE FROM billing_ledgerentry",
        "TRUNCATE billing_ledgerentry",
        "ALTER TABLE billing_ledgerentry DISABLE TRIGGER ALL",
        "ALTER TABLE billing_ledgerentry DISABLE ROW LEVEL SECURITY",
        "DROP TRIGGER billing_ledgerentry_no_change ON billing_ledgerentry",
        "DROP TABLE usage_requestlog",
        "CREATE TABLE mine ()",
        "SET ROLE chatvault_owner",
    ],
)
def test_the_app_can_neither_change_the_ledger_nor_the_schema(deployment, statement):
    with deployment.as_app("*") as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement)


def test_ingest_ships_as_the_app(deployment):
    world = World(deployment.home / "journal")
    world.folder.mkdir(exist_ok=True)
    one, at_ms = uuid7_bytes(), int(clock.wall_s() * 1000)
    path = world.write_dead(
        intent(one, at_ms=at_ms, team_id=1), start(one, at_ms=at_ms), settle(one, at_ms=at_ms)
    )
    data = path.read_bytes()
    for _ in range(2):
        world.write_bytes(data)
        deployment.manage("ingest", "--once")
    with deployment.as_app("*") as app:
        query = "SELECT count(*) FROM {} WHERE request_id = %s"
        for table, rows in (
            ("usage_requestlog", 1), ("usage_attempt", 1), ("billing_ledgerentry", 3)
        ):  # fmt: skip
            assert app.execute(query.format(table), [one.hex()]).fetchone() == (rows,)
    with deployment.as_app("2") as other:
        assert other.execute("SELECT count(*) FROM usage_attempt").fetchone() == (0,)
    with deployment.as_app("1") as own:
        assert own.execute("SELECT count(*) FROM usage_attempt").fetchone() == (1,)


def test_code_is_limited_to_teams_for_the_length_of_a_block(deployment):
    told = deployment.manage("shell", "-v0", "-c", """
from apps.usage.models import RequestLog
from apps.accounts.models import Team
from chatvault.lib.tenancy import limited_to
teams = lambda: sorted(Team.objects.values_list("pk", flat=True))
print(teams())
with limited_to([1]):
    print(teams())
    with limited_to([]):
        print(teams())
    print(teams())
    print(RequestLog.objects.filter(team_id=2).exists())
print(teams())
""")  # fmt: skip
    assert told.split("\n") == ["[1, 2]", "[1]", "[]", "[1]", "False", "[1, 2]", ""]


def test_it_goes_off_again(deployment):
    deployment.manage("row_security", "off")
    with deployment.as_app() as app:
        assert counts(app)["accounts_team"] == 2
    deployment.manage("row_security", "on")
    with deployment.as_app() as app:
        assert counts(app)["accounts_team"] == 0
