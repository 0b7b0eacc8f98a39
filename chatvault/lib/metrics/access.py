"""Who may read the figures: callers by their own address, and with a token where one is set."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from typing import Final

from chatvault.lib.redact import Secret

# A proxy speaks for somebody else, and what it says of them is not believed.
_RELAYED: Final = frozenset({b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-forwarded"})
_RELAYED_PREFIX: Final = b"x-forwarded-"
_BEARER: Final = b"bearer "

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Access:
    """Loopback and `networks`; with a token only those who bring it."""

    def __init__(self, networks: Iterable[Network] = (), token: Secret | None = None) -> None:
        self._networks = tuple(networks)
        self._token = token

    def refusal(
        self, client: tuple[str, int] | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> int | None:
        """The status of a refusal, None for those who may read: 404 for strangers and for what a
        proxy relays, 401 for a token that is missing or wrong."""
        told = list(headers)
        if any(name in _RELAYED or name.startswith(_RELAYED_PREFIX) for name, _ in told):
            return 404
        if client is None or not self._is_known(client[0]):
            return 404
        return None if self._has_token(told) else 401

    def _is_known(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return address.is_loopback or any(address in network for network in self._networks)

    def _has_token(self, headers: list[tuple[bytes, bytes]]) -> bool:
        if self._token is None:
            return True
        given = b""
        for name, value in headers:
            if name == b"authorization" and value[:7].lower() == _BEARER:
                given = value[7:].strip()
        return hmac.compare_digest(given, self._token.reveal().encode())
