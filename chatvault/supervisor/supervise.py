"""Starts children, carries their lines, restarts the dead, and stops all in order."""

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable

from chatvault.progress import say
from chatvault.supervisor.child import Child
from chatvault.supervisor.report import Report
from chatvault.supervisor.rolling import Rolling
from chatvault.supervisor.stages import Plan

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LOOPING = 3  # deaths in a row that are worth a word of their own


class Supervisor:
    """Runs the stages of a plan one after the other; SIGHUP replaces the front one by one.

    One thread and no event loop, so that forking stays safe.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        listener: socket.socket | None,
        on_ready: Callable[[], None],
        when_idle: Callable[[], object],
        report: Report,
    ) -> None:
        self._plan = plan
        self._front = plan.front
        self._to_come = list(plan.stages)
        self._stage: list[Child] = []
        self._wanted: list[list[Child]] = []  # stages that have begun
        self._is_up = False
        self._listener = listener
        self._on_ready = on_ready
        self._when_idle = when_idle
        self._report = report
        self._stopping = False
        self._failed = False
        self._rolling = Rolling(
            plan.front, overlap=plan.overlaps, start=self._start, changed=self._announce
        )
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._waker = socket.socketpair()

    def run(self) -> int:
        """Returns the exit status: 0 after an orderly stop, 1 when the front never got ready."""
        self._listen_to_signals()
        self._go_on()
        while not self._stopping:
            self._turn(self._patience())
            self._go_on()
            self._restart_the_dead()
            if not self._stopping:
                self._rolling.step()
        self._stop_all()
        return 1 if self._failed else 0

    def _listen_to_signals(self) -> None:
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        for signum in (*_STOP_SIGNALS, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(signum, lambda *_: None)  # the number comes through the wake-up pipe
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._read_signals)

    def _go_on(self) -> None:
        """Starts the next stage as soon as all of this one have been ready."""
        while not self._is_up and not self._stopping:
            if not all(child.has_been_ready for child in self._stage):
                return
            if self._front and self._stage is self._front:
                self._on_ready()
            if self._to_come:
                self._stage = self._to_come.pop(0)
                self._wanted.append(self._stage)
                for child in self._stage:
                    self._start(child)
            if not self._to_come and all(child.has_been_ready for child in self._front):
                self._is_up = True
                self._when_idle()

    def _start(self, child: Child) -> None:
        is_front = child in self._front or child is self._rolling.successor
        child.start(inherited=self._own_descriptors(keep_listener=is_front))
        self._watch(child.output, lambda: self._read_lines(child))
        self._watch(child.readiness, lambda: self._read_readiness(child))
        self._announce()

    def _own_descriptors(self, *, keep_listener: bool) -> list[int]:
        watched = [key.fd for key in self._selector.get_map().values()]
        listener = [self._listener.fileno()] if self._listener and not keep_listener else []
        return [*watched, self._waker.fileno(), *listener]

    def _watch(self, descriptor: int, react: Callable[[], None]) -> None:
        os.set_blocking(descriptor, False)
        self._selector.register(descriptor, selectors.EVENT_READ, react)

    def _turn(self, patience_s: float) -> None:
        for key, _ in self._selector.select(patience_s):
            key.data()

    def _patience(self) -> float:
        due = [child.restart_at for child in self._children() if child.restart_at]
        due += self._rolling.patience_ends()
        return min(max(0.0, min(due) - time.monotonic()), 60.0) if due else 60.0

    def _children(self) -> list[Child]:
        """Those that should run now."""
        return [child for stage in self._wanted for child in stage]

    def _all(self) -> Iterable[Child]:
        successor = [self._rolling.successor] if self._rolling.successor else []
        leaving = [child for child in self._rolling.leaving if child not in self._front]
        return [*self._children(), *successor, *leaving]

    def _announce(self) -> None:
        self._report.write(self._children(), self._rolling.leaving)

    def _read_signals(self) -> None:
        for signum in self._wakeup.recv(256):
            if signum == signal.SIGCHLD:
                self._reap()
            elif signum == signal.SIGHUP and not _is_interactive():
                if self._is_up and self._front:
                    self._rolling.ask()
            elif self._stopping:
                say("asked again: stopping at once")
                for child in self._all():
                    child.tell(signal.SIGKILL)
            else:
                self._stopping = True

    def _reap(self) -> None:
        for child in self._all():
            if not child.alive:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._read_lines(child)
                self._buried(child, os.waitstatus_to_exitcode(status))

    def _buried(self, child: Child, code: int) -> None:
        self._read_readiness(child)
        self._forget_output(child)
        self._forget_readiness(child)
        child.left()
        if not self._rolling.buried(child, code):
            child.died(code)
            if not self._stopping:
                self._tell_of_death(child, code)
        self._announce()

    def _tell_of_death(self, child: Child, code: int) -> None:
        if child.is_once and child.is_ready:
            return
        if child in self._front and not child.has_been_ready and self._plan.gives_up:
            say(f"{child.name} could not start (see above)")
            self._failed = self._stopping = True
        elif child.deaths >= _LOOPING:
            again_s = child.restart_at - time.monotonic()
            say(
                f"{child.name} ended with {code}, {child.deaths} times in a row; "
                f"starting it again in {again_s:.1f} s"
            )
        else:
            say(f"{child.name} ended with {code}; starting it again")

    def _restart_the_dead(self) -> None:
        for child in self._children():
            is_due = child.restart_at and time.monotonic() >= child.restart_at
            if is_due and not child.alive and not self._stopping:
                self._start(child)

    def _read_lines(self, child: Child) -> None:
        if child.output < 0:  # it died earlier in this turn
            return
        try:
            text = os.read(child.output, 1 << 16)
        except BlockingIOError:
            return
        sys.stdout.writelines(f"{line}\n" for line in child.lines.feed(text))
        sys.stdout.flush()
        if not text:
            self._forget_output(child)

    def _read_readiness(self, child: Child) -> None:
        if child.readiness < 0:  # it died earlier in this turn
            return
        try:
            if os.read(child.readiness, 16):
                child.serves()
                self._announce()
        except BlockingIOError:
            return
        self._forget_readiness(child)

    def _forget_output(self, child: Child) -> None:
        self._unwatch(child.output)
        child.output = -1  # its number may soon be another child's

    def _forget_readiness(self, child: Child) -> None:
        self._unwatch(child.readiness)
        child.readiness = -1

    def _unwatch(self, descriptor: int) -> None:
        if descriptor >= 0:
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def _stop_all(self) -> None:
        """The front drains, then ingest ships what is left, then background work ends."""
        say("stopping: running requests may finish")
        if self._listener is not None:
            self._listener.close()
        successor = [self._rolling.successor] if self._rolling.successor else []
        first, *rest = self._plan.stops
        self._stop([*first, *successor, *self._rolling.leaving])
        for children in rest:
            self._stop(children)
        self._stop([child for child in self._all() if child.alive])
        say("stopped")

    def _stop(self, children: list[Child]) -> None:
        for child in children:
            child.tell(signal.SIGTERM)
        patience_ends = time.monotonic() + max((child.grace_s for child in children), default=0.0)
        while any(child.alive for child in children):
            left = patience_ends - time.monotonic()
            if left > 0:
                self._turn(left)
                continue
            for child in children:
                child.tell(signal.SIGKILL)
            self._turn(1.0)


def _is_interactive() -> bool:
    """A terminal that closes sends SIGHUP too, and means that all should end."""
    return sys.stdin is not None and sys.stdin.isatty()
