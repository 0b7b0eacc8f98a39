"""From which address a request comes, when proxies stand before us."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_HOPS: Final = 20


def address_of(peer: str, forwarded: bytes, trusted: Sequence[Network]) -> Address | None:
    """The last address that no trusted proxy has. `X-Forwarded-For` is believed only as far as
    trusted proxies wrote it, from the right; what is malformed there ends the believing. None: the
    peer has no address, as on a socket of this machine."""
    address = _parse(peer)
    if address is None or not trusted or not _is_within(address, trusted):
        return address
    for part in reversed(forwarded.decode("latin-1").split(",")[-MOST_HOPS:]):
        hop = _parse(part.strip())
        if hop is None:
            return address
        address = hop
        if not _is_within(hop, trusted):
            return address
    return address


def is_from(address: Address | None, networks: Sequence[str]) -> bool:
    """Whether a key's list lets this address call; without a list everybody may."""
    if not networks:
        return True
    return address is not None and _is_within(address, _networks(tuple(networks)))


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises ValueError for what is no address and no network."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


@lru_cache(maxsize=4096)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return parse_networks(texts)


def _is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == each.version and address in each for each in networks)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    """A mapped IPv4 address counts as the IPv4 address that it is; some proxies add the port."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and (host.count(":") == 0 or host.endswith("]")):
        text = host
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
