"""A node may run some roles only: `serve --only`, `prepare`, and what each leaves alone."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.metrics.folk import samples
from tests.run.tree import ROOT, Tree, environment
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.run, pytest.mark.long, pytest.mark.xdist_group("run")]


def _prepare(home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "prepare"],
        cwd=ROOT,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _body(url: str, **request: Any) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, **request), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared state folder."""
    home = tmp_path_factory.mktemp("roles") / "home"
    done = _prepare(home)
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture(scope="module")
def apart(home: Path) -> Iterator[tuple[Tree, Tree]]:
    """Data plane and control plane as two trees that share a machine."""
    with (
        Tree(home, "--only", "gateway,ingest", CHATVAULT_PREPARE_AT_START="false") as gateway,
        Tree(home, CHATVAULT_ROLES="web, worker", CHATVAULT_PREPARE_AT_START="false") as web,
    ):
        yield gateway.ready(), web.ready("web")


def test_preparing_again_changes_nothing(home: Path) -> None:
    told = (home / "first-run.json").read_bytes()
    done = _prepare(home)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "chatvault: prepared"
    assert (home / "first-run.json").read_bytes() == told


def test_a_gateway_alone_serves_clients_and_nothing_else(apart: tuple[Tree, Tree]) -> None:
    gateway, _ = apart
    url = gateway.state()["url"]
    key = json.loads((gateway.home / "first-run.json").read_text())["api_key"]
    status, answer = _body(
        f"{url}/v1/chat/completions",
        data=b'{"model":"demo","messages":[{"role":"user","content":"hi"}]}',
        headers={"authorization": f"Bearer {key}"},
    )
    assert (status, answer["object"]) == (200, "chat.completion")
    status, answer = _body(f"{url}/admin/")
    assert (status, answer["error"]["code"]) == (404, "unknown_url")
    assert set(gateway.state()["children"]) == {"gateway", "ingest"}


def test_the_web_alone_has_no_data_plane(apart: tuple[Tree, Tree]) -> None:
    _, web = apart
    assert web.get("/admin/login/") == 200
    assert web.get("/livez") == 200
    status, answer = _body(f"{web.state()['url']}/readyz")
    assert (status, answer) == (200, {"status": "ok", "database": True})
    for data in (None, b"{}"):
        status, answer = _body(f"{web.state()['url']}/v1/chat/completions", data=data)
        assert (status, answer["error"]["code"]) == (404, "unknown_url")
    assert set(web.state()["children"]) == {"web", "worker"}


def test_each_tree_says_what_it_runs(apart: tuple[Tree, Tree]) -> None:
    gateway, web = apart
    gateway.wait_for(lambda: _states(gateway) == {"gateway": "running", "ingest": "running"})
    web.wait_for(lambda: _states(web) == {"web": "running", "worker": "running"})
    assert gateway.state()["roles"] == ["gateway", "ingest"]
    assert web.state()["roles"] == ["web", "worker"]
    assert {path.name for path in (gateway.home / "run").glob("serve*.json")} == {
        "serve.json",
        "serve-web-worker.json",
    }


def test_each_tree_tells_prometheus_of_its_own(apart: tuple[Tree, Tree]) -> None:
    gateway, web = apart
    for tree, processes, told, other in (
        (gateway, {"gateway", "ingest"}, "chatvault_journal_writable", "chatvault_sessions"),
        (web, {"web", "worker"}, "chatvault_sessions", "chatvault_journal_writable"),
    ):
        tree.wait_for(lambda tree=tree, wanted=processes: _told_of(tree) >= wanted)
        assert _told_of(tree) == processes
        figures = _figures(tree)
        assert told in figures
        assert other not in figures


def _figures(tree: Tree) -> dict[str, float]:
    with urllib.request.urlopen(f"{tree.state()['url']}/metrics", timeout=10) as answer:
        return samples(answer.read())


def _told_of(tree: Tree) -> set[str]:
    begin = "chatvault_process_starts_total{"
    return {name.split('"')[1] for name in _figures(tree) if name.startswith(begin)}


def _states(tree: Tree) -> dict[str, str]:
    return {line["name"]: line["state"] for line in tree.state().get("processes", [])}


def test_serving_waits_for_somebody_to_prepare(tmp_path: Path) -> None:
    home = tmp_path / "home"
    database = f"sqlite:///{tmp_path}/shared.sqlite3"
    settings = {"DATABASE_URL": database, "CHATVAULT_PREPARE_AT_START": "false"}
    with Tree(home, "--only", "web", **settings) as tree:
        tree.wait_for(lambda: "run `manage.py prepare`" in tree.output())
        assert tree.child("web") == 0
        assert _prepare(home, DATABASE_URL=database).returncode == 0
        tree.ready("web")
        assert tree.stop() == 0


def test_a_gateway_alone_imports_no_page() -> None:
    code = (
        "import sys; from chatvault.supervisor import main\n"
        "main.set_up_django(); main.preload(); import apps.gateway.wiring\n"
        "pages = ('rest_framework.views', 'drf_spectacular.views', 'unfold.admin',\n"
        "    'celery.worker', 'chatvault.urls', 'chatvault.asgi', 'litellm')\n"
        "pages += tuple(f'apps.{name}.admin' for name in ('accounts', 'billing', 'usage'))\n"
        "print([name for name in pages if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={
            **environment(Path("unused")),
            "DJANGO_SETTINGS_MODULE": "chatvault.settings",
            "CHATVAULT_ROLES": "gateway,ingest",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_a_gateway_starts_from_what_it_stored_while_the_database_is_away(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    own_postgres.make_database("roles")
    home = tmp_path / "home"
    settings = {"DATABASE_URL": own_postgres.tcp_url("roles")}
    assert _prepare(home, **settings).returncode == 0
    with Tree(home, "--only", "gateway,ingest", **settings) as tree:
        tree.ready()
        assert tree.stop() == 0
    own_postgres.kill()
    with Tree(home, "--only", "gateway,ingest", **settings) as tree:
        tree.ready()
        tree.wait_for(
            lambda: _states(tree).get("prepare") == "running" or "Trying again" in tree.output()
        )
        assert tree.child("ingest") == 0
        own_postgres.start()
        tree.wait_for(lambda: bool(tree.child("ingest")))
        assert tree.get("/readyz") == 200
