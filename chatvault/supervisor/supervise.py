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

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Supervisor:
    """Runs `first` until ready, then `others`; stops first, the first other, then the rest.

    One thread and no event loop, so that forking stays safe.
    """

    def __init__(
        self,
        first: list[Child],
        others: list[Child],
        *,
        listener: socket.socket,
        on_ready: Callable[[], None],
        when_idle: Callable[[], object],
        on_change: Callable[[dict[str, int]], None],
    ) -> None:
        self._first = first
        self._others = others
        self._listener = listener
        self._on_ready = on_ready
        self._when_idle = when_idle
        self._on_change = on_change
        self._stopping = False
        self._failed = False
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._waker = socket.socketpair()

    def run(self) -> int:
        """Returns the exit status: 0 after an orderly stop, 1 when the first never got ready."""
        self._listen_to_signals()
        for child in self._first:
            self._start(child)
        waiting = True
        while not self._stopping:
            self._turn(self._patience())
            if waiting and all(child.has_been_ready for child in self._first):
                waiting = False
                self._on_ready()
                for child in self._others:
                    self._start(child)
                self._when_idle()
            self._restart_the_dead()
        self._stop_all()
        return 1 if self._failed else 0

    def _listen_to_signals(self) -> None:
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        for signum in (*_STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(signum, lambda *_: None)  # the number comes through the wake-up pipe
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._read_signals)

    def _start(self, child: Child) -> None:
        child.start(inherited=self._own_descriptors(keep_listener=child in self._first))
        self._watch(child.output, lambda: self._read_lines(child))
        self._watch(child.readiness, lambda: self._read_readiness(child))
        self._announce()

    def _own_descriptors(self, *, keep_listener: bool) -> list[int]:
        watched = [key.fd for key in self._selector.get_map().values()]
        listener = [] if keep_listener else [self._listener.fileno()]
        return [*watched, self._waker.fileno(), *listener]

    def _watch(self, descriptor: int, react: Callable[[], None]) -> None:
        os.set_blocking(descriptor, False)
        self._selector.register(descriptor, selectors.EVENT_READ, react)

    def _turn(self, patience_s: float) -> None:
        for key, _ in self._selector.select(patience_s):
            key.data()

    def _patience(self) -> float:
        due = [child.restart_at for child in self._all() if not child.alive and child.restart_at]
        return max(0.0, min(due) - time.monotonic()) if due else 60.0

    def _all(self) -> Iterable[Child]:
        return (*self._first, *self._others)

    def _announce(self) -> None:
        self._on_change({child.name: child.pid for child in self._all() if child.alive})

    def _read_signals(self) -> None:
        for signum in self._wakeup.recv(256):
            if signum == signal.SIGCHLD:
                self._reap()
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
        self._forget_output(child)
        self._forget_readiness(child)
        child.died()
        self._announce()
        if self._stopping:
            return
        if child in self._first and not child.has_been_ready:
            say(f"{child.name} could not start (see above)")
            self._failed = self._stopping = True
        else:
            say(f"{child.name} ended with {code}; starting it again")

    def _restart_the_dead(self) -> None:
        for child in self._all():
            if not self._stopping and child.restart_at and time.monotonic() >= child.restart_at:
                self._start(child)

    def _read_lines(self, child: Child) -> None:
        if child.output < 0:  # it died earlier in this turn
            return
        try:
            text = os.read(child.output, 1 << 16)
        except BlockingIOError:
            return
        for line in text.decode(errors="replace").splitlines():
            if line.strip():
                sys.stdout.write(f"{child.name:<8} | {line}\n")
        sys.stdout.flush()
        if not text:
            self._forget_output(child)

    def _read_readiness(self, child: Child) -> None:
        if child.readiness < 0:  # it died earlier in this turn
            return
        if os.read(child.readiness, 16):
            child.has_been_ready = True
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
        """The gateway drains, then ingest ships what is left, then background work ends."""
        say("stopping: running requests may finish")
        self._listener.close()
        self._stop(self._first)
        self._stop(self._others[:1])
        self._stop(self._others[1:])
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
