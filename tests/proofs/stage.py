"""ChatVault as an operator starts it, in an empty home, beside a provider with an oracle."""

import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import yaml

from benchmarks.processes import free_port, tree
from tests.fakes.upstream import Seen
from tests.fakes.upstream.oracle import read_oracle
from tests.run.tree import ROOT, Tree, environment, is_running, with_tables

PATIENCE_S = 60.0


class Provider:
    """The fake provider as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._oracle = folder / "oracle.jsonl"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.upstream", "--oracle", str(self._oracle)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self.port: int = told["port"]
        self.url: str = told["openai_url"]

    def seen(self) -> list[Seen]:
        return read_oracle(self._oracle)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


class Stage:
    """One home. `start` may be called again after everything was killed."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.home = folder / "home"
        self.provider = Provider(folder)
        self.port = free_port()
        self._more = {
            "PORT": str(self.port),
            "CHATVAULT_PRIVATE_HOSTS": f"127.0.0.1:{self.provider.port}",
            **more,
        }
        self._keys: dict[str, str] = {}
        self.tree: Tree | None = None

    def __enter__(self) -> "Stage":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill_everything()
        self.provider.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Stage":
        self.tree = Tree(with_tables(self.home), **self._more).ready()
        return self

    def running(self) -> Tree:
        assert self.tree is not None
        return self.tree

    def kill(self, name: str) -> float:
        """SIGKILL to one child; the moment."""
        pid = self.running().child(name)
        assert pid, f"there is no {name} to kill"
        os.kill(pid, signal.SIGKILL)
        return time.monotonic()

    def kill_everything(self) -> float:
        """SIGKILL to the supervisor and all that it started; the moment."""
        if self.tree is None:
            return time.monotonic()
        family = tree(self.tree.pid) if is_running(self.tree.pid) else []
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        self.tree.__exit__()
        self.tree = None
        wait_until(lambda: not any(map(is_running, family)))
        return killed_at

    def key_of(self, client: str) -> str:
        return self._keys.setdefault(f"PROOF_{client.upper().replace('-', '_')}", _new_key())

    def secret_of(self, client: str) -> str:
        """How a document refers to the client's key."""
        self.key_of(client)
        return f"env:PROOF_{client.upper().replace('-', '_')}"

    def apply(self, document: Mapping[str, Any]) -> None:
        """Apply a document that changes something, and wait until the gateway follows it."""
        path = self.home.parent / "document.yaml"
        path.write_text(yaml.safe_dump({"version": 1, **document}))
        before = self._version()
        done = self.manage("config", "apply", str(path))
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: self._version() > before)

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=environment(self.home, **self._more, **self._keys),
            text=True,
            capture_output=True,
            check=False,
        )

    def verdict(self) -> str:
        """`clean`, or what `manage.py verify_ledger` finds."""
        done = self.manage("verify_ledger")
        return done.stdout + done.stderr if done.returncode else "clean"

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """A look into the database that asks nobody's leave."""
        path = f"file:{self.home}/chatvault.sqlite3?mode=ro"
        with closing(sqlite3.connect(path, uri=True, timeout=10)) as connection:
            return connection.execute(statement, values).fetchall()

    def is_resolved(self, writer: int) -> bool:
        """All that a dead gateway has written is in the database, and so nothing of it is open."""
        return not list((self.home / "journal").glob(f"*-{writer}-*.cvj"))

    def is_healed(self) -> bool:
        """Nothing is open, and nothing is in a journal that is not in the database."""
        if self.query("SELECT COUNT(*) FROM usage_openintent")[0][0]:
            return False
        offsets = dict(self.query("SELECT segment, offset FROM usage_journalcursor"))
        segments = list((self.home / "journal").glob("*.cvj"))
        sizes = {}
        for path in segments:
            with suppress(FileNotFoundError):
                sizes[path.name] = path.stat().st_size
        children = self.running().state().get("children", {})
        live = tuple(f"-{pid}-" for name, pid in children.items() if name.startswith("gateway"))
        return all(
            any(pid in name for pid in live) and offsets.get(name, 0) == size
            for name, size in sizes.items()
        )

    def _version(self) -> int:
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
            return int(json.load(answer)["snapshot"])
        return 0


def wait_until(is_so: Callable[[], bool], patience_s: float = PATIENCE_S) -> float:
    """Seconds it took; raises AssertionError when it does not become so."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < patience_s, f"not within {patience_s:.0f} s"
        time.sleep(0.05)
    return time.monotonic() - began


def _new_key() -> str:
    return secrets.token_urlsafe(32)
