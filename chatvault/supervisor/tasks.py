"""What each child of the supervisor does. Heavy imports happen in the child that needs them."""

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

from django.conf import settings

from chatvault.supervisor.address import BACKLOG
from chatvault.supervisor.child import Child

Ready = Callable[[], None]

_KEEPALIVE_S = 75  # above the usual 60 s of proxies, so that they close first
_INGEST_GRACE_S = 20.0
_WORKER_GRACE_S = 15.0
_BACKGROUND_NICENESS = 15


def gateways(listener: socket.socket) -> list[Child]:
    """The processes that answer requests; they share one listening socket."""
    count = settings.CHATVAULT.gateway.processes
    grace_s = settings.CHATVAULT.gateway.drain_timeout_s + 5.0
    names = ["gateway"] if count == 1 else [f"gateway{number + 1}" for number in range(count)]
    return [Child(name, lambda ready: _serve(listener, ready), grace_s) for name in names]


def background() -> list[Child]:
    """What may be slower: shipping the journal, tasks, and the clock of the tasks."""
    return [
        Child("ingest", _ingest, _INGEST_GRACE_S),  # it is calm by itself until too much waits
        Child("beat", _beat, 5.0, niceness=_BACKGROUND_NICENESS),
        Child("worker", _work, _WORKER_GRACE_S, niceness=_BACKGROUND_NICENESS),
    ]


def _serve(listener: socket.socket, ready: Ready) -> int:
    import uvicorn

    from apps.gateway import lifecycle

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                ready()
                self.pages = asyncio.get_running_loop().run_in_executor(None, _load_pages)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if (plane := lifecycle.running()) is not None:
                plane.is_draining = True  # readiness goes first, so that no new caller is sent
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        "chatvault.asgi:application",
        loop="uvloop",
        http="apps.gateway.lane:LaneProtocol",
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
    gc.set_threshold(20_000, 20, 50)  # requests leave no cycles: looking rarely finds as much
    # whitenoise hands Django plain iterators; small files, read in one go
    warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous")
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(Server(config).serve(sockets=[listener]))
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


def _ingest(ready: Ready) -> None:
    from django.core.management import call_command

    ready()
    call_command("ingest")


def _beat(ready: Ready) -> None:
    from chatvault.celery import app

    ready()
    folder = settings.CHATVAULT.home / "beat"
    app.Beat(
        schedule=str(folder / "schedule"),
        pidfile=None,
        quiet=True,
        loglevel="WARNING",
        max_interval=60,
    ).run()


def _work(ready: Ready) -> int:
    from celery import platforms

    from chatvault.celery import app

    warnings.simplefilter("ignore", platforms.SecurityWarning)  # type: ignore[attr-defined]
    # who serves is the operator's decision
    worker = app.Worker(
        pool_cls="threads",
        concurrency=settings.CHATVAULT.celery.threads,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        hostname=f"chatvault@{socket.gethostname()}",
        quiet=True,
    )
    ready()
    worker.start()
    return int(worker.exitcode or 0)
