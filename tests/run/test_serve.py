"""`manage.py serve` as real processes: first run, second run, restarts and stops."""

import base64
import json
import os
import signal
import sqlite3
import stat
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from authlib.integrations.requests_client import OAuth2Session
from openai import OpenAI

from apps.accounts.credentials import digest
from chatvault.first_run.document import CLIENT
from tests.run.tree import Tree, is_running

CHILDREN = ("gateway", "ingest", "beat", "worker")

pytestmark = [pytest.mark.run, pytest.mark.xdist_group("run")]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A first run that the tests of this module share."""
    with Tree(tmp_path_factory.mktemp("serve") / "home") as started:
        yield started.ready()


def _first_run(tree: Tree) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((tree.home / "first-run.json").read_text())
    return content


def _chat(url: str, key: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        data=json.dumps(
            {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
        ).encode(),
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: dict[str, Any] = json.load(answer)
    return body


def test_the_first_run_tells_how_to_get_in(tree: Tree) -> None:
    told = _first_run(tree)
    assert told["url"] == tree.state()["url"]
    assert told["admin"]["username"] == "admin"
    assert len(told["admin"]["password"]) >= 20
    assert _chat(told["url"], told["api_key"])["choices"][0]["message"]["content"]


def test_keys_are_kept_under_the_pepper_that_the_first_run_made(tree: Tree) -> None:
    """The settings are read before the first run makes its secrets, and again after."""
    pepper = base64.b64decode((tree.home / "secrets" / "key_pepper").read_text())
    stored = digest(_first_run(tree)["api_key"].encode(), pepper)
    with closing(sqlite3.connect(tree.home / "chatvault.sqlite3")) as database:
        rows = database.execute("SELECT digest FROM accounts_apikey").fetchall()
    assert rows == [(stored,)]


def test_a_jwt_calls_models_with_the_official_library_and_is_refused_once_it_is_ended(
    tree: Tree,
) -> None:
    """From the password of the first run to an answer, a stream, a refresh and the end."""
    told = _first_run(tree)
    pair = _post(f"{told['url']}/api/v1/auth/token", {**told["admin"], "client": CLIENT})
    following = _post(f"{told['url']}/api/v1/auth/token/refresh", {"refresh": pair["refresh"]})
    for access in (pair["access"], following["access"]):
        with OpenAI(base_url=f"{told['url']}/v1", api_key=access, max_retries=0) as client:
            asked: Any = [{"role": "user", "content": "hi"}]
            whole = client.chat.completions.create(model="demo", messages=asked)
            assert whole.choices[0].message.content
            parts = client.chat.completions.create(model="demo", messages=asked, stream=True)
            assert sum(1 for _ in parts) > 1
            assert [model.id for model in client.models.list()] == ["demo"]
    session = OAuth2Session(token={"access_token": following["access"], "token_type": "Bearer"})
    assert session.get(f"{told['url']}/v1/models").status_code == 200
    _post(f"{told['url']}/api/v1/auth/token/revoke", {"token": following["refresh"]})
    ended_at = time.monotonic()
    tree.wait_for(lambda: session.get(f"{told['url']}/v1/models").status_code == 401)
    assert time.monotonic() - ended_at < 1.0


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read() or b"{}")
    return found


def test_nobody_else_can_read_the_state(tree: Tree) -> None:
    files = [tree.home / "first-run.json", *(tree.home / "secrets").iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tree.home / "secrets").stat().st_mode) == 0o700
    assert not list(tree.home.glob("*draft*"))


def test_admin_and_schema_are_served(tree: Tree) -> None:
    assert tree.get("/admin/login/") == 200
    assert tree.get("/api/schema/") == 200
    assert tree.get("/static/unfold/css/styles.css") == 200


def test_a_state_folder_has_one_server(tree: Tree) -> None:
    """Two would count limits twice."""
    with Tree(tree.home) as second:
        assert second.wait() == 2
    assert (
        f"chatvault: Another ChatVault serves the state folder {tree.home}: stop it first, or "
        "name another folder in CHATVAULT_HOME.\n"
    ) in tree.output()
    assert tree.get("/readyz") == 200


def test_dead_children_come_back(tree: Tree) -> None:
    tree.wait_for(lambda: all(tree.child(name) for name in CHILDREN))
    before = {name: tree.child(name) for name in CHILDREN}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    tree.wait_for(lambda: all(tree.child(name) not in (0, before[name]) for name in CHILDREN))
    tree.ready()
    told = _first_run(tree)
    assert _chat(told["url"], told["api_key"])["object"] == "chat.completion"


def test_a_stop_is_orderly_and_the_next_run_keeps_the_state(tree: Tree) -> None:
    tree.wait_for(lambda: all(tree.child(name) for name in CHILDREN))
    told, children = _first_run(tree), [tree.child(name) for name in CHILDREN]
    assert tree.stop() == 0, tree.output()
    assert not any(is_running(pid) for pid in children)

    with Tree(tree.home) as again:
        again.ready()
        kept = _first_run(again)
        assert {**kept, "url": ""} == {**told, "url": ""}
        assert _chat(kept["url"], kept["api_key"])["object"] == "chat.completion"
        assert again.output().count(told["api_key"]) == 1  # by the first run only
        assert again.stop(signal.SIGINT) == 0


@pytest.mark.long
def test_children_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    with Tree(tmp_path / "home") as tree:
        tree.ready().wait_for(lambda: all(tree.child(name) for name in CHILDREN))
        children = [tree.child(name) for name in CHILDREN]
        tree.tell(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(is_running(pid) for pid in children) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(is_running(pid) for pid in children)


@pytest.mark.long
def test_a_crash_in_the_first_run_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Wherever it is killed, the next start ends with a key that works and one administrator."""
    home = tmp_path / "home"
    for sign in ("migrating", "first run:"):
        with Tree(home) as tree:
            tree.wait_for(lambda tree=tree, sign=sign: sign in tree.output())
            tree.tell(signal.SIGKILL)
    with Tree(home) as tree:
        told = _first_run(tree.ready())
        assert _chat(told["url"], told["api_key"])["object"] == "chat.completion"
        assert tree.stop() == 0
