"""What gets through to Django: the ASGI server reads strictly (apps/gateway/lane.py), this is the
rest that holds under any other server too. The hot paths have their own in apps/gateway/http.py."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from django.conf import settings

from chatvault.asgi_types import App, Message, Receive, Scope, Send
from chatvault.lib.errors import BadRequest, BodyTooLarge, ChatVaultError
from chatvault.lib.page_policy import DATA

MOST_HEADERS: Final = 64

log = logging.getLogger(__name__)


def guarded(app: App) -> App:
    """`app` sees no header with an underscore, no more than it should, and no body above the cap.

    Django makes `HTTP_X_FORWARDED_FOR` of `X-Forwarded-For` and of `X_Forwarded_For` alike
    (CVE-2026-3902), so a name with `_` could say what a proxy is trusted with.
    """
    most_body = settings.CHATVAULT.security.max_form_mib * 2**20
    most_head = settings.CHATVAULT.gateway.max_header_kib * 1024

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [pair for pair in scope["headers"] if b"_" not in pair[0]]
        refusal = _judge(headers, most_head, most_body)
        if refusal is not None:
            await _refuse(refusal, scope["path"], send)
            return
        body = _Body(scope["path"], receive, send, most_body)
        await app({**scope, "headers": headers}, body.receive, body.send)

    return answer


def _judge(
    headers: list[tuple[bytes, bytes]], most_head: int, most_body: int
) -> ChatVaultError | None:
    if len(headers) > MOST_HEADERS:
        return BadRequest(f"A request may have at most {MOST_HEADERS} headers.")
    if sum(len(name) + len(value) for name, value in headers) > most_head:
        return BadRequest(f"The headers are larger than {most_head // 1024} KiB in all.")
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and int(value) > most_body:
            return _too_large(most_body)
    return None


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {most // 2**20} MiB, the most that is accepted.")


class _Body:
    """Counts what comes, also of a body that did not announce its length. Past the cap the client
    is answered at once, and the app sees it gone."""

    def __init__(self, path: str, receive: Receive, send: Send, most: int) -> None:
        self._path = path
        self._receive = receive
        self._send = send
        self._most = most
        self._size = 0
        self._is_refused = False
        self._is_answered = False

    async def receive(self) -> Message:
        if self._is_refused:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size <= self._most:
            return message
        self._is_refused = True
        if not self._is_answered:
            await _refuse(_too_large(self._most), self._path, self._send)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if not self._is_refused:
            self._is_answered = True
            await self._send(message)


async def _refuse(error: ChatVaultError, path: str, send: Send) -> None:
    """As callers of the path expect: OpenAI's envelope, OAuth's (RFC 6749 §5.2), or plain text."""
    log.info("%s before Django: %s", error.http_status, error.public_code)
    kind, body = b"application/json", _body(error, path)
    if not path.startswith(("/api/", "/o/", "/oauth/", "/.well-known/")):
        kind, body = b"text/plain; charset=utf-8", error.message.encode()
    head = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"content-security-policy", DATA.encode()),
        (b"cache-control", b"private, no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": error.http_status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def _body(error: ChatVaultError, path: str) -> bytes:
    if path.startswith("/api/"):
        said: dict[str, Any] = error.openai()
    else:
        said = {"error": "invalid_request", "error_description": error.message}
    return msgspec.json.encode(said)
