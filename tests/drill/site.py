"""One place where ChatVault runs: a state folder, a database and what goes with them."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.processes import tree as family_of
from tests.drill.books import Books, read_postgres, read_sqlite
from tests.drill.traffic import ask
from tests.run.tree import ROOT, Tree, environment, is_running

BACKUP = ROOT / "deploy/backup"
KEPT_H = "24"
_PATIENCE_S = 30.0
_STOP_S = 90.0


class Site:
    """`more` is its environment: DATABASE_URL and REDIS_URL, or nothing for SQLite."""

    def __init__(self, home: Path, **more: str) -> None:
        self.home = home
        self.more = {"CHATVAULT_JOURNAL_KEEP_SHIPPED_H": KEPT_H, **more}
        self._tree: Tree | None = None

    @property
    def database_url(self) -> str:
        return self.more.get("DATABASE_URL", "")

    @property
    def url(self) -> str:
        return str(self._running().state()["url"])

    def start(self) -> "Site":
        self._tree = Tree(self.home, **self.more)
        self._tree.ready()
        return self

    def stop(self) -> int:
        """An orderly stop; its exit status. Everything at once takes its time on a busy machine."""
        tree = self._running()
        tree.tell(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        while is_running(tree.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        status = tree.wait()
        tree.__exit__()
        self._tree = None
        return status

    def kill(self) -> None:
        """`kill -9` to the supervisor and all that it started."""
        tree = self._running()
        family = family_of(tree.pid)
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        tree.__exit__()
        self._tree = None
        while any(map(is_running, family)):
            time.sleep(0.01)

    def close(self) -> None:
        if self._tree is not None:
            self.kill()

    def key(self) -> str:
        told = json.loads((self.home / "first-run.json").read_text())
        return str(told["api_key"])

    def manage(self, *words: str) -> str:
        """Raises AssertionError with its output when it fails."""
        return _told([sys.executable, "manage.py", *words], environment(self.home, **self.more))

    def backup(self, program: str, *words: object) -> str:
        """deploy/backup's programs, with an operator's Python and this site's database."""
        env = environment(self.home, **self.more)
        return _told([sys.executable, "-s", str(BACKUP / program), *map(str, words)], env)

    def books(self) -> Books:
        if self.database_url:
            return read_postgres(self.database_url)
        return read_sqlite(self.home / "chatvault.sqlite3")

    def answers(self, key: str) -> str:
        """One request with a key from before; its id. Until limits are built, it is refused."""
        address = urlsplit(self.url)
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            connection = http.client.HTTPConnection(
                address.hostname or "", address.port, timeout=20
            )
            try:
                return ask(connection, key, stream=False)
            except ValueError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            finally:
                connection.close()

    def disk(self, to: Path) -> Path:
        """The node's journal as it is now: what a disk that survives would still hold."""
        shutil.copytree(self.home / "journal", to, ignore_dangling_symlinks=True)
        return to

    def _running(self) -> Tree:
        assert self._tree is not None
        return self._tree


def _told(words: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words[1:4]}: {done.stdout}{done.stderr}"
    return done.stdout
