"""Pages of other sites that may call the API from a browser (fetch.spec.whatwg.org, CORS).

None, unless CHATVAULT_CORS_ORIGINS names them. They come with a key or a token: cookies are neither
allowed (`access-control-allow-credentials` is never sent) nor passed on if they come all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from chatvault.asgi_types import App, Message, Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]

OPEN: Final = ("/v1/", "/api/")
METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
SHOWN: Final = (
    b"x-request-id, retry-after, x-should-retry, x-ratelimit-limit-requests, "
    b"x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, "
    b"x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, x-chatvault-alias, "
    b"x-chatvault-deployment, x-chatvault-cost-usd"
)
_NAMES = re.compile(rb"[a-z0-9\-, ]{1,1000}", re.IGNORECASE)


def open_to(app: App, origins: Iterable[str]) -> App:
    """`app`, which pages of these origins may call; without any it is `app` itself."""
    allowed = frozenset(origin.rstrip("/").lower().encode() for origin in origins)
    if not allowed:
        return app

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(OPEN):
            await app(scope, receive, send)
            return
        asked = dict(scope["headers"])
        origin = asked.get(b"origin", b"").lower()
        if origin not in allowed:
            await app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and b"access-control-request-method" in asked:
            await _allow(origin, asked.get(b"access-control-request-headers", b""), send)
        else:
            headers = [pair for pair in scope["headers"] if pair[0] != b"cookie"]
            await app({**scope, "headers": headers}, receive, _telling(origin, send))

    return answer


def _telling(origin: bytes, send: Send) -> Send:
    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            said = [
                pair for pair in message["headers"] if pair[0] != b"cross-origin-resource-policy"
            ]
            said += [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", SHOWN),
                (b"cross-origin-resource-policy", b"cross-origin"),
                (b"vary", b"origin"),
            ]
            message = {**message, "headers": said}
        await send(message)

    return tell


async def _allow(origin: bytes, names: bytes, send: Send) -> None:
    head: Headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-max-age", b"600"),
        (b"vary", b"origin, access-control-request-headers"),
        (b"content-length", b"0"),
    ]
    if _NAMES.fullmatch(names):
        head.append((b"access-control-allow-headers", names))
    await send({"type": "http.response.start", "status": 204, "headers": head})
    await send({"type": "http.response.body", "body": b""})
