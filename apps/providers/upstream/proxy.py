"""Through an operator's proxy: CONNECT (RFC 9110 §9.3.6), then TLS to the provider inside."""

from __future__ import annotations

import asyncio
import base64
from typing import cast
from urllib.parse import unquote, urlsplit

import msgspec

from chatvault.lib.errors import UpstreamConnectFailed
from chatvault.lib.http_guard import Target

_MAX_HEAD = 16 * 1024


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy for https targets. Its address is the operator's word and is not judged."""

    host: str
    port: int
    authorization: str
    exempt: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"

    def serves(self, target: Target) -> bool:
        """NO_PROXY as curl reads it: `*`, a host, a domain with all below it, with or without
        a port."""
        if target.scheme != "https":
            return False
        for entry in self.exempt:
            host, port = _exempt_host(entry)
            if port and port != str(target.port):
                continue
            if host in {"*", target.host} or target.host.endswith("." + host):
                return False
        return True


def _exempt_host(entry: str) -> tuple[str, str]:
    if entry.count(":") > 1 and not entry.startswith("["):
        return entry, ""
    host, _, port = entry.rpartition(":") if entry.rpartition(":")[2].isdigit() else (entry, "", "")
    return host.strip("[]").removeprefix("*.").lstrip("."), port


def parse_proxy(url: str, no_proxy: tuple[str, ...]) -> Proxy:
    """Raises ValueError for anything but http://[user:password@]host:port."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("HTTPS_PROXY must be an http:// URL.")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    exempt = tuple(entry.strip().lower() for entry in no_proxy if entry.strip())
    return Proxy(parts.hostname, parts.port or 80, authorization, exempt)


class Tunnel(asyncio.Protocol):
    """Speaks CONNECT on a fresh connection to the proxy; `opened` tells how it went."""

    def __init__(self, proxy: Proxy, target: Target) -> None:
        self._proxy = proxy
        self._target = target
        self._head = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
        place = f"{host}:{self._target.port}"
        lines = [f"CONNECT {place} HTTP/1.1", f"host: {place}"]
        if self._proxy.authorization:
            lines.append(f"proxy-authorization: {self._proxy.authorization}")
        head = "\r\n".join([*lines, "", ""]).encode("ascii")
        cast("asyncio.Transport", transport).write(head)

    def data_received(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            if len(self._head) > _MAX_HEAD:
                self._refuse("The proxy's answer is too large.")
            return
        words = self._head[:end].split(b"\r\n", 1)[0].split(b" ", 2)
        if not words[0].startswith(b"HTTP/1.") or len(words) < 2:
            self._refuse("The proxy's answer is not HTTP.")
        elif not (len(words[1]) == 3 and words[1].isdigit() and words[1].startswith(b"2")):
            self._refuse(f"The proxy refused the connection ({words[1][:3].decode('latin-1')}).")
        elif len(self._head) > end + 4:
            self._refuse("The proxy sent bytes that nobody asked for.")
        elif not self.opened.done():
            self.opened.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._refuse("The proxy closed the connection.")

    def _refuse(self, why: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(UpstreamConnectFailed(why))
            self.opened.exception()  # nobody may be waiting any more
