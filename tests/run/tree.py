"""A real `manage.py serve` in a home of its own."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 40.0
DATABASE = "chatvault.sqlite3"
_OURS = ("CHATVAULT_", "HOST", "PORT", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DJANGO_")


def environment(home: Path, **more: str) -> dict[str, str]:
    """The surroundings of an operator's shell: nothing of the test run's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OLLAMA_HOST"):
        kept.pop(name, None)
    return {**kept, "CHATVAULT_HOME": str(home), "PORT": "0", **more}


def with_tables(home: Path) -> Path:
    """The home with a migrated, empty database, made once and copied: migrating takes seconds.
    For tests that are not about the first start."""
    if not (home / DATABASE).exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(_migrated(), home / DATABASE)
        (home / DATABASE).chmod(0o600)
    return home


@cache
def _migrated() -> Path:
    """One file for all test processes; another one when a migration changes."""
    sources = sorted([*ROOT.glob("apps/*/migrations/*.py"), ROOT / "requirements.txt"])
    told = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    place = Path(tempfile.gettempdir()) / f"chatvault-migrated-{told[:16]}.sqlite3"
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=place.parent) as made:
            command = [sys.executable, "manage.py", "migrate", "-v", "0"]
            surroundings = environment(Path(made))
            subprocess.run(command, cwd=ROOT, env=surroundings, check=True, capture_output=True)
            with closing(sqlite3.connect(Path(made) / DATABASE)) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (Path(made) / DATABASE).replace(place)
    return place


class Tree:
    """One run of `manage.py serve`; `stop` or leaving the block ends it."""

    def __init__(self, home: Path, *arguments: str, **more: str) -> None:
        self.home = home
        self._log = (home.parent / f"{home.name}.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", *arguments],
            cwd=ROOT,
            env=environment(home, **more),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> "Tree":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def output(self) -> str:
        return Path(self._log.name).read_text(encoding="utf-8")

    def state(self) -> dict[str, Any]:
        """What the supervisor says about itself; empty before it says anything."""
        for path in (self.home / "run").glob("serve*.json"):
            with contextlib.suppress(FileNotFoundError, ValueError):
                told: dict[str, Any] = json.loads(path.read_text())
                if told.get("supervisor") == self.pid:
                    return told
        return {}

    def child(self, name: str) -> int:
        return int(self.state().get("children", {}).get(name, 0))

    def all_of(self, name: str) -> list[int]:
        """The processes of a role that live now: `gateway`, or `gateway1`, `gateway2` and so on."""
        children = self.state().get("children", {})
        return [pid for child, pid in children.items() if child.rstrip("0123456789") == name]

    def ready(self, front: str = "gateway") -> "Tree":
        self.wait_for(lambda: bool(self.all_of(front)) and self.get("/readyz") == 200)
        return self

    def get(self, path: str) -> int:
        return fetch(self.state()["url"] + path)

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert self._process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def tell(self, signum: int) -> None:
        self._process.send_signal(signum)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Asks for an orderly stop; returns the exit status."""
        self.tell(signum)
        return self.wait()

    def wait(self) -> int:
        """The exit status, once it has ended."""
        return self._process.wait(PATIENCE_S)


def fetch(url: str) -> int:
    """The status of a GET; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def is_running(pid: int) -> bool:
    """Whether the process lives; one that only waits to be reaped does not."""
    with contextlib.suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        return stat.rpartition(")")[2].split()[0] != "Z"
    return False
