"""Taking connections from a socket that several processes share, so that they get equal parts.

The kernel wakes all that wait, and who comes first takes most: an idle process a burst, a process
that is just awake a series. Connections live long and streams longer, so a bad division lasts. A
process that has more than another waits a moment before it takes one, which leaves it to that one.
"""

import asyncio
import socket
from collections.abc import Callable, Sized
from typing import Final

from chatvault.supervisor.board import Board

STEP_ASIDE_S: Final = 0.001
WITHOUT_DESCRIPTORS_S: Final = 0.1
AT_ONCE: Final = 8  # then those that run get their turn
SLACK: Final = 1


class Acceptor:
    """Belongs to one event loop. `connections` are those that live now."""

    def __init__(
        self,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        connections: Sized,
        board: Board,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._make_protocol = make_protocol
        self._connections = connections
        self._board = board
        self._opening: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._has_waited = False
        self._is_open = True
        listener.setblocking(False)
        board.write(0)
        self._loop.add_reader(listener, self._look)

    def close(self) -> None:
        """Takes no more; what is in the socket's queue is for the others."""
        self._is_open = False
        self._loop.remove_reader(self._listener)
        if self._timer is not None:
            self._timer.cancel()
        self._board.leave()

    def _look(self) -> None:
        for _ in range(AT_ONCE):
            count = len(self._connections) + len(self._opening)
            self._board.write(count)
            if count > self._board.least() + SLACK and not self._has_waited:
                self._pause(STEP_ASIDE_S)
                return
            self._has_waited = False
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor or no memory is left; others may have some
                self._pause(WITHOUT_DESCRIPTORS_S)
                return
            self._open(connection)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._timer = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        """If nobody else took it meanwhile, it is ours."""
        self._timer = None
        self._has_waited = True
        if self._is_open:
            self._loop.add_reader(self._listener, self._look)

    def _open(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(self._make_protocol, connection)
        )
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled():
            task.exception()  # a client that is gone again is nobody's fault
