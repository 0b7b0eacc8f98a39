"""A rolling restart: one process after the other makes room for its successor."""

import signal
import time
from collections.abc import Callable
from typing import Protocol

from chatvault.progress import say
from chatvault.supervisor.child import Child


class Starter(Protocol):
    def __call__(self, child: Child) -> None: ...


class Rolling:
    """Replaces the processes of `front`, in place in that list.

    Where processes may `overlap` the successor starts first, and the old one leaves the shared
    socket when it is ready: no caller waits. Where limits are counted in one process's memory the
    old one ends first, and callers wait in the socket's queue meanwhile.
    """

    def __init__(
        self, front: list[Child], *, overlap: bool, start: Starter, changed: Callable[[], None]
    ) -> None:
        self._front = front
        self._overlap = overlap
        self._start = start
        self._changed = changed
        self._queue: list[Child] = []
        self._is_asked_again = False
        self._began = 0.0
        self.successor: Child | None = None
        self.leaving: list[Child] = []
        """Old ones that finish what they began."""

    @property
    def is_active(self) -> bool:
        return bool(self._queue or self.leaving)

    def ask(self) -> None:
        if self.is_active:  # never more than two generations at once
            self._is_asked_again = True
            return
        say(f"rolling restart of {len(self._front)}: running requests may finish")
        self._began = time.monotonic()
        self._queue = list(self._front)

    def step(self) -> None:
        """Goes on as far as it can. Called whenever something happened."""
        if self._queue:
            self._replace(self._queue[0])
        self._end_patience()
        if not self.is_active and self._began:
            say(f"rolling restart done after {time.monotonic() - self._began:.1f} s")
            self._began = 0.0
            if self._is_asked_again:
                self._is_asked_again = False
                self.ask()

    def _replace(self, old: Child) -> None:
        if self._overlap:
            if self.successor is None:
                self.successor = old.successor()
                self._start(self.successor)
            elif self.successor.is_ready:
                self._front[self._front.index(old)] = self.successor
                self.successor = None
                self._queue.pop(0)
                self._dismiss(old)
        elif old in self.leaving:
            return
        elif old.is_replaced:
            if old.is_ready:
                old.is_replaced = False
                self._queue.pop(0)
        else:
            old.is_replaced = True
            self._dismiss(old)

    def _dismiss(self, old: Child) -> None:
        if old.alive:
            old.patience_ends = time.monotonic() + old.grace_s
            old.tell(signal.SIGTERM)
            self.leaving.append(old)
        self._changed()

    def _end_patience(self) -> None:
        for child in self.leaving:
            if child.alive and time.monotonic() >= child.patience_ends:
                say(f"{child.name} ({child.pid}) did not end in time: killed")
                child.patience_ends = float("inf")
                child.tell(signal.SIGKILL)

    def patience_ends(self) -> list[float]:
        """When to look again although nothing happened."""
        return [child.patience_ends for child in self.leaving if child.alive]

    def buried(self, child: Child, code: int) -> bool:
        """Takes note of an end; False: it is none of the rolling restart's."""
        if child in self.leaving:
            self.leaving.remove(child)
            if child in self._front:
                child.ended_as_asked(code)
            if code:
                say(f"{child.name} ({child.pid}) was replaced and ended with {code}")
            return True
        if child is self.successor:
            say(f"the successor of {child.name} could not start; the rolling restart is given up")
            self.successor = None
            self._queue.clear()
            return True
        return False
