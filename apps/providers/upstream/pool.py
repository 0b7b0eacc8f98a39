"""The only way out: sends requests to providers over judged, pooled connections."""

from __future__ import annotations

import asyncio
import ssl

from apps.providers.adapters.contract import UpstreamRequest
from apps.providers.upstream.connection import Connection
from apps.providers.upstream.contract import Caps, Deadlines, PoolStats
from apps.providers.upstream.dial import Dialer
from apps.providers.upstream.head import request_head
from apps.providers.upstream.origin import Origin
from apps.providers.upstream.proxy import parse_proxy
from apps.providers.upstream.response import UpstreamResponse
from chatvault.lib.errors import UpstreamBroken, UpstreamConnectFailed, UpstreamTimedOut
from chatvault.lib.http_guard import AddressGuard, Target, parse_target

_ROUTES = 4096
_SWEEP_S = 5.0


class UpstreamPool:
    """One per event loop. `proxy` serves https targets that `no_proxy` does not exempt.

    Follows no redirects: a 3xx is an answer like any other.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        proxy: str | None = None,
        no_proxy: tuple[str, ...] = (),
        ssl_context: ssl.SSLContext | None = None,
        max_idle_per_origin: int = 256,
        idle_expiry_s: float = 30.0,
        caps: Caps = Caps(),  # noqa: B008  frozen
    ) -> None:
        self._dialer = Dialer(guard, parse_proxy(proxy, no_proxy) if proxy else None, ssl_context)
        self._max_idle = max_idle_per_origin
        self._idle_s = idle_expiry_s
        self._caps = caps
        self._routes: dict[str, tuple[Origin, Target]] = {}
        self._origins: dict[tuple[str, str, int], Origin] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        """Returns when the head of the answer has arrived; the body is read from the response.

        Raises UpstreamForbidden, UpstreamConnectFailed, UpstreamTimedOut, UpstreamBroken,
        UpstreamTooLarge. Tries once more, on a fresh connection, if a kept-alive one was closed
        before a byte of the answer came (RFC 9112 §9.3.1). Cancelling it closes the connection.
        """
        origin, target = self._routes.get(request.url) or self._route(request.url)
        head = request_head(request, target)
        is_head = request.method == "HEAD"
        total_at = origin.loop.time() + deadlines.total_s
        connection = origin.take() or await self._connect(origin, deadlines, total_at)
        while True:
            was_kept = connection.idle_since > 0
            response = connection.start(head, request.body, deadlines, total_at, is_head)
            await response.wait()
            error = response.error
            if error is None:
                return response
            if not was_kept or connection.has_answered or not isinstance(error, UpstreamBroken):
                raise error
            connection = await self._connect(origin, deadlines, total_at, must_be_fresh=True)

    async def _connect(
        self, origin: Origin, deadlines: Deadlines, total_at: float, must_be_fresh: bool = False
    ) -> Connection:
        left = total_at - origin.loop.time()
        try:
            return await origin.open_new(
                min(deadlines.connect_s, left), must_be_fresh=must_be_fresh
            )
        except UpstreamTimedOut:
            if left <= deadlines.connect_s:
                raise UpstreamTimedOut("total") from None
            raise

    def _route(self, url: str) -> tuple[Origin, Target]:
        if self._is_closed:
            raise UpstreamConnectFailed("This gateway is shutting down.")
        target = parse_target(url)
        key = (target.scheme, target.host, target.port)
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = Origin(
                target, self._dialer, self._caps, max_idle=self._max_idle, idle_s=self._idle_s
            )
            if self._sweeper is None:
                self._sweeper = origin.loop.call_later(_SWEEP_S, self._sweep)
        if len(self._routes) >= _ROUTES:
            self._routes.clear()
        route = self._routes[url] = (origin, target)
        return route

    def _sweep(self) -> None:
        """Close what idled too long and drop origins that nobody uses any more."""
        self._sweeper = None
        for key, origin in list(self._origins.items()):
            origin.sweep()
            if not origin.open and not origin.is_wanted:
                del self._origins[key]
        self._routes = {
            url: route for url, route in self._routes.items() if route[0].key in self._origins
        }
        if self._origins:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(_SWEEP_S, self._sweep)

    def stats(self) -> PoolStats:
        """Counts for the metrics, from any thread."""
        origins = list(self._origins.values())
        return PoolStats(
            open=sum(origin.open for origin in origins),
            idle=sum(len(origin.idle) for origin in origins),
        )

    async def close(self) -> None:
        """Close every connection; answers that are still being read break off."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for origin in self._origins.values():
            origin.shut()
        self._origins.clear()
        self._routes.clear()
        await asyncio.sleep(0)  # transports close in the loop's next turn
