"""Connections of a shared socket: who has more steps aside, and takes what nobody else takes."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from chatvault.supervisor.acceptor import Acceptor
from chatvault.supervisor.board import SEATS, Board


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as made:
        yield made


class Keeping(asyncio.Protocol):
    """A connection that is kept."""

    kept: set[asyncio.BaseTransport]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.kept.add(transport)


def _acceptor(listener: socket.socket, board: Board) -> tuple[Acceptor, set[object]]:
    kept: set[object] = set()
    made = type("Kept", (Keeping,), {"kept": kept})
    return Acceptor(listener, made, kept, board), kept


def test_seats_are_given_back() -> None:
    board = Board()
    seats = [board.take_seat() for _ in range(SEATS)]
    assert sorted(seats) == list(range(SEATS))
    board.free(seats[3])
    assert board.take_seat() == seats[3]


def test_who_starts_or_leaves_is_not_the_one_with_the_fewest() -> None:
    board = Board()
    first, second = board.take_seat(), board.take_seat()
    board.mine = first
    board.write(5)
    assert board.least() == 5  # the second is only starting
    board.mine = second
    board.write(2)
    assert board.least() == 2
    board.leave()
    assert board.least() == 5


async def test_one_that_has_more_leaves_it_to_another(listener: socket.socket) -> None:
    board = Board()
    other = board.take_seat()
    board.mine = board.take_seat()
    acceptor, kept = _acceptor(listener, board)
    mine, board.mine = board.mine, other
    board.write(0)  # another process, which has none and takes none
    board.mine = mine
    clients = [socket.create_connection(listener.getsockname()) for _ in range(4)]
    for _ in range(200):
        await asyncio.sleep(0.005)
        if len(kept) == len(clients):
            break
    assert len(kept) == len(clients)  # late, but nobody waits for ever
    acceptor.close()
    for client in clients:
        client.close()


async def test_one_that_leaves_takes_nothing_out_of_the_queue(listener: socket.socket) -> None:
    board = Board()
    board.mine = board.take_seat()
    acceptor, kept = _acceptor(listener, board)
    acceptor.close()
    with socket.create_connection(listener.getsockname()):
        await asyncio.sleep(0.05)
        assert kept == set()
        listener.setblocking(True)
        listener.settimeout(2)
        connection, _ = listener.accept()  # still there, for the successor
        connection.close()
    assert board.least() == 0
