"""The control plane alone: admin, API and its own probes; no data plane in this process."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import msgspec
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import Error, close_old_connections, connection

from apps.gateway.health import live, metrics
from chatvault.asgi_types import Receive, Scope, Send
from chatvault.defences.cors import open_to
from chatvault.defences.door import guarded
from chatvault.lib.errors import RouteNotFound
from chatvault.lib.metrics import reporter
from chatvault.lifespan import serve_lifespan
from chatvault.telemetry import setup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")

DATABASE_TIMEOUT_S = 2.0

setup.instrument_django()
django_app = guarded(get_asgi_application())
_asking = ThreadPoolExecutor(1, thread_name_prefix="readiness")  # one: a stuck one is an answer


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    """The admin, its API and the probes. Clients' requests are refused, not half served."""
    if scope["type"] == "lifespan":
        await serve_lifespan(receive, send, start=_start, stop=_stop)
    elif scope["type"] == "http":
        await _answer(scope, receive, send)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    path: str = scope["path"]
    if path == "/livez":
        await _send_whole(send, *live(None, scope))
    elif path == "/readyz":
        is_ready = await database_answers()
        status = {"status": "ok" if is_ready else "not ready", "database": is_ready}
        await _send_json(send, 200 if is_ready else 503, msgspec.json.encode(status))
    elif path == "/metrics":
        await _send_whole(send, *await metrics(None, scope))
    elif path.startswith("/v1/"):
        error = RouteNotFound("This process serves the admin; clients are served by a gateway.")
        await _send_json(send, 404, msgspec.json.encode(error.openai()))
    else:
        await django_app(dict(scope), receive, send)


async def database_answers() -> bool:
    """Whether pages can be shown; a database that hangs counts as away."""
    asked = asyncio.get_running_loop().run_in_executor(_asking, _ask)
    try:
        return await asyncio.wait_for(asked, DATABASE_TIMEOUT_S)
    except TimeoutError:
        return False


def _ask() -> bool:
    close_old_connections()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True


async def _start() -> None:
    from apps.gateway import reporting  # models: only after Django is set up

    reporting.start_web()


async def _stop() -> None:
    reporter.stop()


async def _send_json(send: Send, status: int, body: bytes) -> None:
    head = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"private, no-store"),
        (b"content-length", b"%d" % len(body)),
    ]
    await _send_whole(send, status, head, body)


async def _send_whole(
    send: Send, status: int, head: list[tuple[bytes, bytes]], body: bytes
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


application = open_to(_application, settings.CHATVAULT.security.cors_origins)
