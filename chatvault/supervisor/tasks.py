"""What each child of the supervisor does. Heavy imports happen in the child that needs them."""

import socket
from collections.abc import Callable
from typing import Final

from django.conf import settings

from chatvault.supervisor.board import Board

Ready = Callable[[], None]
Task = Callable[[Ready], int | None]

AFTER_DRAIN_S: Final = 5.0  # to cut off what is left, close the books and seal the journal
INGEST_GRACE_S: Final = 20.0  # it is calm by itself until too much waits
BACKGROUND_NICENESS: Final = 15


def gateway(listener: socket.socket, board: Board | None) -> Task:
    """A data plane; where this node runs the role `web` too, the admin in the same process."""
    has_pages = "web" in settings.CHATVAULT.serving.roles

    def serve(ready: Ready) -> int:
        from chatvault.supervisor import server

        return server.run(
            "chatvault.asgi:application" if has_pages else "chatvault.asgi_gateway:application",
            listener,
            ready,
            board=board,
            protocol="apps.gateway.lane:LaneProtocol",
            loads_pages=has_pages,
        )

    return serve


def web(listener: socket.socket, board: Board | None) -> Task:
    """The admin and the API alone."""

    def serve(ready: Ready) -> int:
        from chatvault.supervisor import server

        return server.run(
            "chatvault.asgi_web:application",
            listener,
            ready,
            board=board,
            protocol="apps.gateway.lane:SlowProtocol",
            loads_pages=True,
        )

    return serve


def ingest(ready: Ready) -> None:
    from django.core.management import call_command

    ready()
    call_command("ingest")


def beat(ready: Ready) -> None:
    from chatvault.worker import keep_time

    keep_time(ready)


def work(ready: Ready) -> int:
    from chatvault.worker import work

    return work(ready)
