"""One process of the tree: forked from the supervisor, so that Django is imported only once."""

import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

Task = Callable[[Callable[[], None]], int | None]
"""What a child does. It is given `ready`, to be called once it serves; returns an exit status."""

_PR_SET_PDEATHSIG = 1
_LONG_LIFE_S = 10.0
_MAX_BACKOFF_S = 2.0


@dataclass
class Child:
    """A process that is wanted: what it does, and what became of it."""

    name: str
    task: Task
    grace_s: float
    """Time between the request to stop and the end of patience."""
    niceness: int = 0
    """Added to the process's niceness, so that the gateway keeps the core."""
    pid: int = 0
    output: int = -1
    """Our end of the pipe that carries what the child prints."""
    readiness: int = -1
    """Our end of the pipe on which the child says that it serves."""
    started: float = 0.0
    deaths: int = 0
    has_been_ready: bool = False
    restart_at: float = field(default=0.0)

    @property
    def alive(self) -> bool:
        return self.pid > 0

    def start(self, inherited: list[int]) -> None:
        """Forks. `inherited` are descriptors that only the supervisor needs."""
        self.output, child_output = os.pipe()
        self.readiness, child_readiness = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            _close([*inherited, self.output, self.readiness])
            self._become(child_output, child_readiness, supervisor)
        os.close(child_output)
        os.close(child_readiness)
        self.pid, self.started, self.restart_at = pid, time.monotonic(), 0.0

    def died(self) -> None:
        """Plans the restart: at once after a long life, later and later after short ones."""
        lived_s = time.monotonic() - self.started
        self.deaths = 1 if lived_s > _LONG_LIFE_S else self.deaths + 1
        self.pid = 0
        self.restart_at = time.monotonic() + min(0.05 * 4 ** (self.deaths - 1), _MAX_BACKOFF_S)

    def tell(self, signum: int) -> None:
        if self.alive:
            os.kill(self.pid, signum)

    def _become(self, output: int, readiness: int, supervisor: int) -> NoReturn:
        status = 1
        try:
            _settle_in(output, supervisor, self.niceness)
            status = self.task(lambda: _say_ready(readiness)) or 0
        except SystemExit as leave:
            status = leave.code if isinstance(leave.code, int) else 1
        except BaseException:  # nothing above us may run: it belongs to the supervisor
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _say_ready(descriptor: int) -> None:
    os.write(descriptor, b"1")


def _settle_in(output: int, supervisor: int, niceness: int) -> None:
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    os.setpgid(0, 0)  # Ctrl-C is for the supervisor, which stops us in order
    _follow_into_death(supervisor)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if output > 2:
        os.close(output)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if niceness:
        os.nice(niceness)


def _follow_into_death(supervisor: int) -> None:
    """A child whose supervisor was killed stops too, in order: it gets SIGTERM."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != supervisor:  # it died before we could ask
            os.kill(os.getpid(), signal.SIGTERM)
        return

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="follow-supervisor", daemon=True).start()
