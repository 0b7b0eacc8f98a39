"""One small request to somebody else's server, for the control plane: discovery, keys, tokens.

It connects to the address that the guard has judged and to no other, follows no redirect, takes
no more bytes than it was told, and ends in time. Blocking: for threads and jobs, never for an
event loop.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from chatvault.lib.errors import UpstreamConnectFailed, UpstreamForbidden
from chatvault.lib.http_guard import AddressGuard, ResolvedAddress, Target, parse_target

MAX_BYTES = 512 * 1024
TIMEOUT_S = 5.0


class FetchFailed(Exception):
    """What went wrong, in words for an operator; holds nothing of what was sent or received."""


@dataclass(frozen=True)
class Fetched:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case


def fetch(
    url: str,
    *,
    private_hosts: tuple[str, ...] = (),
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = TIMEOUT_S,
) -> Fetched:
    """The answer, whatever its status. `private_hosts` are the operator's exceptions from the
    guard; plain http goes to these alone.

    Raises FetchFailed.
    """
    deadline = time.monotonic() + timeout_s
    target, address = _judged(url, AddressGuard(private_hosts))
    connection = _Connection(target, address, deadline)
    try:
        connection.request(
            method,
            target.path,
            body=body,
            headers={"accept": "application/json", "connection": "close", **(headers or {})},
        )
        answer = connection.getresponse()
        taken = _read(answer, connection, max_bytes, deadline)
    except ssl.SSLError as error:
        raise FetchFailed(f"{target.host} cannot be trusted: {error.reason or 'TLS'}.") from None
    except TimeoutError:
        raise FetchFailed(f"{target.host} did not answer within {timeout_s:g} s.") from None
    except (OSError, http.client.HTTPException) as error:
        raise FetchFailed(f"{target.host} broke off: {type(error).__name__}.") from None
    finally:
        connection.close()
    if 300 <= answer.status < 400:
        raise FetchFailed(f"{target.host} redirects, which is not followed.")
    return Fetched(answer.status, taken, {k.lower(): v for k, v in answer.getheaders()})


def _judged(url: str, guard: AddressGuard) -> tuple[Target, ResolvedAddress]:
    try:
        target = parse_target(url)
        if target.scheme != "https" and not guard.is_listed(target.host, target.port):
            raise FetchFailed(f"{target.host} must be asked by https.")
        found = asyncio.run(guard.resolve(target.host, target.port, scheme=target.scheme))
    except UpstreamForbidden as refused:
        raise FetchFailed(refused.message) from None
    except UpstreamConnectFailed:
        raise FetchFailed("The host cannot be found.") from None
    return target, found[0]


def _read(
    answer: http.client.HTTPResponse, connection: _Connection, most: int, deadline: float
) -> bytes:
    """A slow drip does not outlive the deadline: each read has what is left of it."""
    parts: list[bytes] = []
    size = 0
    while True:
        connection.hurry(deadline)
        part = answer.read1(16_384)
        if not part:
            return b"".join(parts)
        size += len(part)
        if size > most:
            raise FetchFailed(f"The answer is larger than {most // 1024} KiB.")
        parts.append(part)


class _Connection(http.client.HTTPConnection):
    """To an address that was judged; the host's name is for TLS and the Host header."""

    def __init__(self, target: Target, address: ResolvedAddress, deadline: float) -> None:
        super().__init__(target.host, target.port)
        self._target = target
        self._address = address
        self._deadline = deadline
        self._own: socket.socket | None = None  # http.client gives its own away early

    def connect(self) -> None:
        left = _left(self._deadline)
        sock = socket.create_connection((self._address.ip, self._address.port), left)
        self.sock = self._own = sock
        if self._target.scheme == "https":
            sock.settimeout(_left(self._deadline))
            context = ssl.create_default_context()
            self.sock = self._own = context.wrap_socket(sock, server_hostname=self._target.host)
        self.hurry(self._deadline)

    def hurry(self, deadline: float) -> None:
        if self._own is not None:
            self._own.settimeout(_left(deadline))


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
