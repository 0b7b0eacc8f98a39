"""httpx transports that send litellm's requests through ChatVault's own upstream client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

import httpx

from apps.providers.adapters.contract import UpstreamRequest
from apps.providers.adapters.refusals import Detail, refusal
from chatvault.lib.errors import UpstreamError, UpstreamForbidden

if TYPE_CHECKING:
    from apps.providers.upstream import Deadlines, UpstreamPool, UpstreamResponse

_FRAMING = frozenset({"content-length", "transfer-encoding", "content-encoding", "connection"})
_NOT_SENT = frozenset({"host", "content-length", "connection", "accept-encoding"})


class Exchange:
    """One call of ours: where its requests go, and what went wrong on the way."""

    def __init__(self, pool: UpstreamPool, deadlines: Deadlines) -> None:
        self.pool = pool
        self.deadlines = deadlines
        self.failure: UpstreamError | None = None  # litellm wraps errors; this is the true one
        self.responses: list[UpstreamResponse] = []

    def close(self) -> None:
        for response in self.responses:
            response.close()


# litellm keeps clients for all calls; the call that a request belongs to is in its context.
current: ContextVar[Exchange | None] = ContextVar("litellm_exchange", default=None)


class GuardedTransport(httpx.AsyncBaseTransport):
    """Hands every request to the upstream pool of the call that makes it. No redirects."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = current.get()
        if exchange is None:
            raise UpstreamForbidden("A request outside of a call is not sent.")
        body = await request.aread()
        headers = [
            (name, value) for name, value in request.headers.items() if name not in _NOT_SENT
        ]
        upstream = UpstreamRequest(request.method, str(request.url), tuple(headers), body)
        try:
            response = await exchange.pool.send(upstream, exchange.deadlines)
        except UpstreamError as failure:
            exchange.failure = failure
            raise
        exchange.responses.append(response)
        if 300 <= response.status < 400:
            exchange.failure = refusal(response.status, {}, Detail())
            raise exchange.failure
        kept = [(name, value) for name, value in response.headers.items() if name not in _FRAMING]
        return httpx.Response(response.status, headers=kept, stream=_Body(response, exchange))


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: UpstreamResponse, exchange: Exchange) -> None:
        self._response = response
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while chunk := await self._response.next_chunk():
                yield chunk
        except UpstreamError as failure:
            self._exchange.failure = failure
            raise

    async def aclose(self) -> None:
        self._response.close()


class RefusingTransport(httpx.BaseTransport):
    """For litellm's blocking clients, which would go past the guard and stop the event loop."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise UpstreamForbidden("This provider needs a kind of connection that is not allowed.")
