"""Workers and beats as processes of an installation whose database and broker are given."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from tests.proofs.stage import wait_until
from tests.run.tree import ROOT, environment, with_tables

_PATIENCE_S = 60.0


def prepare(home: Path, **more: str) -> Path:
    """A home with secrets and, unless it is elsewhere, a migrated database."""
    if "DATABASE_URL" not in more:
        with_tables(home)
    done = subprocess.run(
        [sys.executable, "manage.py", "prepare"],
        cwd=ROOT,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return home


class Hand:
    """One worker or beat."""

    def __init__(self, role: str, surroundings: dict[str, str], log: Path) -> None:
        self._log = log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.worker", role],
            cwd=ROOT,
            env=surroundings,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait(self) -> int:
        """The exit status; negative for a signal."""
        return self.process.wait(_PATIENCE_S)

    def kill(self) -> None:
        self.process.kill()
        self.wait()
        self._log.close()

    def stop(self) -> int:
        self.process.terminate()
        status = self.wait()
        self._log.close()
        return status


class Crew:
    """Leaving the block kills whoever is left. `more` holds DATABASE_URL, a broker and such;
    `prepared` is a home that is copied instead of making one."""

    def __init__(self, folder: Path, prepared: Path | None = None, **more: str) -> None:
        self._folder = folder
        self._prepared = prepared
        self._more = more
        self.home = folder / "home"
        self._hands: list[Hand] = []
        self._console: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if self._prepared is None:
            prepare(self.home, **self._more)
        else:
            shutil.copytree(self._prepared, self.home)
        self._console = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.console"],
            cwd=ROOT,
            env=self._surroundings(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        for hand in self._hands:
            if hand.is_running:
                hand.kill()
        console = self._console
        if console is not None:
            assert console.stdin is not None and console.stdout is not None
            console.stdin.close()
            console.wait(_PATIENCE_S)
            console.stdout.close()

    def worker(self, failpoint: str = "", **more: str) -> Hand:
        return self._start("work", CHATVAULT_FAILPOINT=failpoint, **more)

    def beat(self) -> Hand:
        return self._start("keep_time")

    def ask(self, verb: str, *arguments: Any) -> Any:
        console = self._console
        assert console is not None and console.stdin is not None and console.stdout is not None
        console.stdin.write(json.dumps([verb, *arguments]) + "\n")
        console.stdin.flush()
        line = console.stdout.readline()
        assert line, "the console ended"
        return json.loads(line)

    def wait_for_state(self, name: str, state: str = "done") -> float:
        """Until the last run of a job is so; seconds it took."""
        try:
            return wait_until(lambda: [run[0] for run in self.ask("runs", name)][-1:] == [state])
        except AssertionError as error:
            raise AssertionError(f"{self.ask('runs', name)}\n{self.log()}") from error

    def wait_until_idle(self) -> float:
        """Until nothing waits or runs; seconds it took."""
        return wait_until(lambda: not {"queued", "running"} & self.ask("counts").keys())

    def log(self) -> str:
        return (self._folder / "hands.log").read_text(errors="replace")

    def _start(self, role: str, **more: str) -> Hand:
        hand = Hand(role, {**self._surroundings(), **more}, self._folder / "hands.log")
        self._hands.append(hand)
        return hand

    def _surroundings(self) -> dict[str, str]:
        return {
            **environment(self.home, **self._more),
            "DJANGO_SETTINGS_MODULE": "chatvault.settings",
        }
