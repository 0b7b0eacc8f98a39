"""The ASGI door: the hot endpoints, without Django on the way. Holds no rules of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from apps.gateway import lifecycle, tags
from apps.gateway.body import BodyReader
from apps.gateway.contracts import ClientGone, GatewayRequest, Headers, Outlet
from apps.gateway.health import live, metrics, ready
from apps.gateway.listing import answer_models
from apps.gateway.pipeline import serve
from apps.gateway.plane import DataPlane
from apps.gateway.reply import error_event, error_reply
from apps.gateway.telling import tell_refused
from apps.providers.adapters.contract import Operation
from chatvault.lib import clock
from chatvault.lib.errors import (
    BadRequest,
    ChatVaultError,
    InternalError,
    MethodNotAllowed,
    NotReady,
    RouteNotFound,
    ShuttingDown,
    UpstreamError,
)
from chatvault.lib.ids import uuid7_bytes

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

logger = logging.getLogger(__name__)

OPERATIONS: dict[str, Operation] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
}
PROBES = {"/livez": live, "/readyz": ready}
METRICS = "/metrics"
MODELS = "/v1/models"
MAX_HEADERS = 64
MAX_CLIENT_ID_BYTES = 512
DRY_RUN = b"x-chatvault-dry-run"
_KEY_HEADERS = frozenset({b"x-api-key", b"api-key"})


def handles(path: str) -> bool:
    """Whether this door answers the path; everything else is Django's."""
    return path.startswith("/v1/") or path in PROBES or path == METRICS


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3 (asgi.readthedocs.io/en/latest/specs/www.html), type http only."""
    path: str = scope["path"]
    probe = PROBES.get(path)
    if probe is not None:
        await _send_whole(send, *probe(lifecycle.running(), scope))
        return
    if path == METRICS:
        await _send_whole(send, *await metrics(lifecycle.running(), scope))
        return
    outlet = AsgiOutlet(receive, send)
    reader = BodyReader(lifecycle.running())
    try:
        body: bytes | ChatVaultError = b""
        if path in OPERATIONS and scope["method"] == "POST":
            body = await reader.read(receive, _announced_length(scope["headers"]))
        peer = (scope.get("client") or ("",))[0]
        await answer(path, scope["headers"], body, outlet, method=scope["method"], peer=peer)
    except ClientGone:
        return
    finally:
        reader.drop()


async def answer(
    path: str,
    headers: Headers,
    body: bytes | ChatVaultError,
    outlet: Outlet,
    *,
    method: str = "POST",
    peer: str = "",
) -> None:
    """Answer one request, refusals included; raises nothing but ClientGone."""
    request = GatewayRequest(
        id=uuid7_bytes(),
        operation=OPERATIONS.get(path, "chat"),
        body=b"",
        started=clock.monotonic(),
        accept_ms=clock.wall_ns() // 1_000_000,
        peer=peer,
    )
    plane = lifecycle.running()
    try:
        if plane is None:
            raise NotReady
        if plane.tracer is not None:
            request.trace = plane.tracer.begin(headers) if path in OPERATIONS else None
        read_headers(request, headers, plane.options.max_header_bytes)
        if path not in OPERATIONS:
            await _list_models(path, method, request, plane, outlet)
            return
        if method != "POST":
            raise MethodNotAllowed(headers={"allow": "POST"})
        if isinstance(body, ChatVaultError):
            raise body
        request.body = body
        await serve(request, plane, outlet)
    except ClientGone:
        raise
    except asyncio.CancelledError:
        if plane is None or not plane.is_ending or outlet.is_started:
            raise
        await _refuse(ShuttingDown(headers={"retry-after": "1"}), request, plane, outlet)
    except ChatVaultError as error:
        await _refuse(error, request, plane, outlet)
    except Exception:  # the outermost edge: whatever went wrong must not show
        trace_id = request.trace.trace_id if request.trace is not None else None
        logger.exception("request failed", extra={"request_id": request.id, "trace_id": trace_id})
        tell_refused(request, InternalError(), plane)
        if not outlet.is_started:
            await _reply(outlet, *error_reply(InternalError(), request))


async def _refuse(
    error: ChatVaultError, request: GatewayRequest, plane: DataPlane | None, outlet: Outlet
) -> None:
    if plane is not None and not isinstance(error, UpstreamError):
        plane.metrics.refused(error.public_code, error.http_status)
        plane.refusals.note(request, error, plane.keys)
        plane.quota_counts.refused(error, plane.view.snapshot)
    tell_refused(request, error, plane)
    if outlet.is_started:  # a stream whose books could not be closed is not a finished answer
        await outlet.end(error_event(error))
    else:
        await _reply(outlet, *error_reply(error, request))


async def _list_models(
    path: str, method: str, request: GatewayRequest, plane: DataPlane, outlet: Outlet
) -> None:
    if path != MODELS and not path.startswith(f"{MODELS}/"):
        raise RouteNotFound
    if method not in ("GET", "HEAD"):
        raise MethodNotAllowed(headers={"allow": "GET"})
    status, head, body = await answer_models(request, path[len(MODELS) + 1 :], plane)
    await _reply(outlet, status, head, b"" if method == "HEAD" else body)


def read_headers(request: GatewayRequest, headers: Headers, most_bytes: int) -> None:
    """Take the credential, the client's own id and its tags. Raises BadRequest for too many, too
    large, and those of our own that are not understood.

    Keys come as OpenAI's, Anthropic's or Azure's clients send them.
    """
    if len(headers) > MAX_HEADERS:
        raise BadRequest(f"A request may have at most {MAX_HEADERS} headers.")
    size = 0
    for name, value in headers:
        size += len(value)
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                request.token = value[7:].strip()
        elif name in _KEY_HEADERS:
            request.token = request.token or value.strip()
        elif name == b"x-forwarded-for":
            request.forwarded += b"," + value if request.forwarded else value
        elif name == b"content-encoding":
            if value.strip().lower() != b"identity":
                raise BadRequest("Compressed request bodies are not accepted.")
        elif name == tags.HEADER:
            request.tags = tags.of_header(value, request.tags)
        elif name == DRY_RUN:
            request.is_dry_run = _is_true(value)
        elif name == b"x-client-request-id" and len(value) <= MAX_CLIENT_ID_BYTES:
            request.client_request_id = value if value.isascii() else None
    if size > most_bytes:
        raise BadRequest(f"The headers are larger than {most_bytes // 1024} KiB in all.")


def _is_true(value: bytes) -> bool:
    """Raises BadRequest: a wish for a dry run that is not understood must not cost anything."""
    said = value.strip().lower()
    if said in (b"true", b"1"):
        return True
    if said in (b"false", b"0", b""):
        return False
    raise BadRequest("The header 'x-chatvault-dry-run' takes 'true' or 'false'.")


def _announced_length(headers: Headers) -> int:
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


class AsgiOutlet:
    """The way out through an ASGI server; `send` waits when the client reads slowly."""

    __slots__ = ("_receive", "_send", "_task", "_watcher", "is_gone", "is_started")

    is_direct = False

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._task: asyncio.Task[Any] | None = None
        self._watcher: asyncio.Future[Message] | None = None
        self.is_gone = False
        self.is_started = False

    async def start(self, status: int, headers: Headers) -> None:
        self.is_started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data})

    def push(self, data: bytes) -> bool:
        raise TypeError("an ASGI server is written to by awaiting")

    async def drained(self) -> None:
        return

    def watch(self) -> None:
        self._task = asyncio.current_task()
        self._watcher = asyncio.ensure_future(self._receive())
        self._watcher.add_done_callback(self._received)

    def _received(self, watcher: asyncio.Future[Message]) -> None:
        if not watcher.cancelled() and self._watcher is not None:
            self.is_gone = True
            if self._task is not None:
                self._task.cancel()

    def unwatch(self) -> bool:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
        return self.is_gone


async def _reply(outlet: Outlet, status: int, head: Headers, body: bytes) -> None:
    await outlet.start(status, head)
    await outlet.end(body)


async def _send_whole(send: Send, status: int, head: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
