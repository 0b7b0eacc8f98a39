"""Making a connection: judged addresses in turn, TLS or a proxy's tunnel, within one deadline."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from apps.providers.upstream import tls
from apps.providers.upstream.connection import Connection
from apps.providers.upstream.proxy import Proxy, Tunnel
from chatvault.lib.errors import UpstreamConnectFailed, UpstreamTimedOut
from chatvault.lib.http_guard import AddressGuard, ResolvedAddress, Target

_LEAST_SLICE_S = 0.25


class Dialer:
    """Opens connections for a pool. The only caller of `create_connection` in ChatVault."""

    def __init__(
        self, guard: AddressGuard, proxy: Proxy | None, context: ssl.SSLContext | None
    ) -> None:
        self._guard = guard
        self._proxy = proxy
        self._context = tls.checked(context) if context is not None else None

    async def dial(
        self, target: Target, new: Callable[[], Connection], timeout_s: float
    ) -> Connection:
        """Raises UpstreamForbidden, UpstreamConnectFailed or UpstreamTimedOut("connect")."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                if self._proxy is not None and self._proxy.serves(target):
                    return await self._through(self._proxy, target, new())
                addresses = await self._guard.resolve(
                    target.host, target.port, scheme=target.scheme
                )
                return await self._directly(target, addresses, new, deadline)
        except TimeoutError:
            raise UpstreamTimedOut("connect") from None

    async def _directly(
        self,
        target: Target,
        addresses: list[ResolvedAddress],
        new: Callable[[], Connection],
        deadline: float,
    ) -> Connection:
        """Each address gets its share of what is left, so a silent one cannot use it all up."""
        loop = asyncio.get_running_loop()
        context = await self._tls() if target.scheme == "https" else None
        why = "no address"
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = max((deadline - loop.time()) / left, _LEAST_SLICE_S)
            try:
                async with asyncio.timeout(share if left > 1 else None):
                    _, connection = await loop.create_connection(
                        new,
                        address.ip,
                        address.port,
                        ssl=context,
                        server_hostname=target.host if context else None,
                        flags=socket.AI_NUMERICHOST,
                    )
                return connection
            except ssl.SSLError as error:
                raise UpstreamConnectFailed(_tls_failure(error)) from None
            except OSError as error:
                why = type(error).__name__
        raise UpstreamConnectFailed(f"The provider could not be reached ({why}).")

    async def _through(self, proxy: Proxy, target: Target, connection: Connection) -> Connection:
        await self._judge(target)
        loop = asyncio.get_running_loop()
        context = await self._tls()
        try:
            transport, tunnel = await loop.create_connection(
                lambda: Tunnel(proxy, target), proxy.host, proxy.port
            )
        except OSError as error:
            raise UpstreamConnectFailed(
                f"The proxy could not be reached ({type(error).__name__})."
            ) from None
        try:
            await tunnel.opened
            secured = await loop.start_tls(
                transport, connection, context, server_hostname=target.host
            )
        except BaseException as error:
            transport.abort()
            if isinstance(error, ssl.SSLError):
                raise UpstreamConnectFailed(_tls_failure(error)) from None
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise UpstreamConnectFailed("The proxy's tunnel broke off.") from None
            raise
        if secured is None:
            raise UpstreamConnectFailed("The proxy's tunnel broke off.")
        connection.connection_made(secured)
        return connection

    async def _judge(self, target: Target) -> None:
        """The name is judged as far as we can see it; the proxy resolves it once more. A listed
        host need not resolve here: behind a proxy, public names often do not."""
        try:
            await self._guard.resolve(target.host, target.port, scheme=target.scheme)
        except UpstreamConnectFailed:
            if not self._guard.is_listed(target.host, target.port):
                raise

    async def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(tls.default_context)
        return self._context


def _tls_failure(error: ssl.SSLError) -> str:
    reason = getattr(error, "verify_message", "") or error.reason or "handshake failed"
    return f"The provider could not be reached (TLS: {reason})."
