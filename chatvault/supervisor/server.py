"""The HTTP server of one process of the front, and how it leaves."""

import asyncio
import gc
import resource
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from types import FrameType

import uvicorn
from django.conf import settings

from apps.gateway import gate, lifecycle
from apps.gateway.lane import LaneProtocol
from chatvault.supervisor.acceptor import Acceptor
from chatvault.supervisor.address import BACKLOG
from chatvault.supervisor.board import Board
from chatvault.supervisor.drain import drain

_KEEPALIVE_S = 75  # above the usual 60 s of proxies, so that they close first


class Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready and leaves without cutting anybody off."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        ready: Callable[[], None],
        board: Board | None,
        loads_pages: bool,
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._board = board
        self._acceptor: Acceptor | None = None
        self._loads_pages = loads_pages

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets if self._board is None else [])
        if self._board is not None and sockets:
            self._acceptor = Acceptor(
                sockets[0], self._make_protocol, self.server_state.connections, self._board
            )
        if self.started:
            self._ready()
            if self._loads_pages:
                loop = asyncio.get_running_loop()
                self._pages = loop.run_in_executor(None, _load_pages)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Out of the queue of callers first: others take from it. Then what runs may finish."""
        if self._acceptor is not None:
            self._acceptor.close()
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        await drain(self)
        if not self.force_exit:
            await self.lifespan.shutdown()

    def _make_protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if (plane := lifecycle.running()) is not None:
            plane.is_draining = True  # readiness goes first, so that no new caller is sent
        super().handle_exit(sig, frame)


def run(
    application: str,
    listener: socket.socket,
    ready: Callable[[], None],
    *,
    board: Board | None,
    protocol: str,
    loads_pages: bool,
) -> int:
    """Serve until a signal says to leave. Returns the exit status."""
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.CHATVAULT.core.trusted_proxies),
        forwarded_allow_ips=list(settings.CHATVAULT.core.trusted_proxies),
        backlog=BACKLOG,
        timeout_keep_alive=_KEEPALIVE_S,
        timeout_graceful_shutdown=int(settings.CHATVAULT.gateway.drain_timeout_s),
        h11_max_incomplete_event_size=settings.CHATVAULT.gateway.max_header_kib * 1024,
    )
    _leave_quietly_on_sigterm()
    _allow_many_connections()
    LaneProtocol.most_connections = gate.most_connections()
    LaneProtocol.is_open_to_pages = bool(settings.CHATVAULT.security.cors_origins)
    LaneProtocol.stall_s = settings.CHATVAULT.gateway.client_stall_s
    gc.set_threshold(20_000, 20, 50)  # requests leave no cycles: looking rarely finds as much
    # whitenoise hands Django plain iterators; small files, read in one go
    warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")
    server = Server(config, ready=ready, board=board, loads_pages=loads_pages)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))
    return 0


def _load_pages() -> None:
    # the admin's own imports; requests for the hot paths do not wait for them
    import_module("chatvault.urls")
    gc.freeze()  # what is loaded by now stays: the collector need not look at it again


def _allow_many_connections() -> None:
    # a request takes two descriptors, and many systems start a process with 1024
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _leave_quietly_on_sigterm() -> None:
    # uvicorn raises the signal again once it has drained; that is our exit, not a failure
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
