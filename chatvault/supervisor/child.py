"""One process of the tree: forked from the supervisor, so that Django is imported only once."""

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from chatvault.process import begin, end
from chatvault.supervisor.board import Board
from chatvault.supervisor.lines import Lines

log = logging.getLogger(__name__)

Task = Callable[[Callable[[], None]], int | None]
"""What a child does. It is given `ready`, to be called once it serves; returns an exit status."""

_PR_SET_PDEATHSIG = 1
_LONG_LIFE_S = 10.0
_MAX_BACKOFF_S = 2.0
_MAX_BACKOFF_UNREADY_S = 30.0  # of one that never came to serve: something lasting is wrong

State = Literal["starting", "running", "backing off", "done"]


@dataclass
class Child:
    """A process that is wanted: what it does, and what became of it."""

    name: str
    task: Task
    grace_s: float
    """Time between the request to stop and the end of patience."""
    niceness: int = 0
    """Added to the process's niceness, so that the gateway keeps the core."""
    is_once: bool = False
    """It has something to do, and is ready when it has ended with 0."""
    board: Board | None = None
    """Where it writes how many connections it has, if others share them with it."""
    pid: int = 0
    output: int = -1
    """Our end of the pipe that carries what the child prints."""
    readiness: int = -1
    """Our end of the pipe on which the child says that it serves."""
    started: float = 0.0
    deaths: int = 0
    """In a row, each after a short life."""
    last_exit: int = 0
    """As a shell sees it; a signal is negative."""
    is_ready: bool = False
    """In this life."""
    has_been_ready: bool = False
    is_replaced: bool = False
    """It is to end and to start again, in a rolling restart."""
    patience_ends: float = float("inf")
    seat: int = -1
    """On the board."""
    restart_at: float = field(default=0.0)
    lines: Lines = field(init=False, compare=False)
    """What it prints, in this life."""

    @property
    def alive(self) -> bool:
        return self.pid > 0

    @property
    def state(self) -> State:
        if self.alive:
            return "running" if self.is_ready else "starting"
        return "backing off" if self.restart_at else "done"

    def successor(self) -> "Child":
        """The same wish, as another process that is not started yet."""
        return Child(self.name, self.task, self.grace_s, self.niceness, board=self.board)

    def serves(self) -> None:
        """It said that it is ready, or has done what it was for."""
        self.is_ready = self.has_been_ready = True

    def start(self, inherited: list[int]) -> None:
        """Forks. `inherited` are descriptors that only the supervisor needs."""
        self.lines = Lines(self.name)
        self.output, child_output = os.pipe()
        self.readiness, child_readiness = os.pipe()
        if self.board is not None:
            self.seat = self.board.take_seat()
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
        self.is_ready = False

    def left(self) -> None:
        """Its process is gone, however that came."""
        if self.board is not None:
            self.board.free(self.seat)
        self.seat = -1

    def died(self, code: int) -> None:
        """Plans the restart: at once after a long life, later and later after short ones."""
        now = time.monotonic()
        self.deaths = 1 if now - self.started > _LONG_LIFE_S else self.deaths + 1
        self.pid, self.last_exit = 0, code
        if self.is_once and code == 0:
            self.deaths = 0
            self.restart_at = 0.0
            self.serves()
            return
        most_s = _MAX_BACKOFF_S if self.is_ready else _MAX_BACKOFF_UNREADY_S
        self.restart_at = now + min(0.05 * 4 ** min(self.deaths - 1, 8), most_s)
        self.is_ready = False

    def ended_as_asked(self, code: int) -> None:
        """It made room, so the next life begins at once and nothing is held against it."""
        self.pid, self.last_exit, self.deaths = 0, code, 0
        self.is_ready, self.restart_at = False, time.monotonic()

    def tell(self, signum: int) -> None:
        if self.alive:
            os.kill(self.pid, signum)

    def _become(self, output: int, readiness: int, supervisor: int) -> NoReturn:
        status = 1
        try:
            _settle_in(output, supervisor, self.niceness)
            if self.board is not None:
                self.board.mine = self.seat
            begin(self.name)
            status = self.task(lambda: _say_ready(readiness)) or 0
        except SystemExit as leave:
            status = leave.code if isinstance(leave.code, int) else 1
        except BaseException:  # nothing above us may run: it belongs to the supervisor
            log.exception("%s failed", self.name)
        finally:
            end()
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
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a rolling restart is the supervisor's
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
