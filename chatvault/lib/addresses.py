"""Addresses of callers, as they are counted."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

_PREFIX_BITS = 64
_MASK = ((1 << _PREFIX_BITS) - 1) << (128 - _PREFIX_BITS)


def counted_as(address: str) -> str:
    """The address itself; of IPv6 its /64, which one subscriber has whole (RFC 6177), and of an
    IPv4 address written as IPv6 (RFC 4291 §2.5.5.2) the IPv4 address. What is no address counts
    as itself, so that callers without one are counted together."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    assert isinstance(parsed, IPv6Address)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) & _MASK)}/{_PREFIX_BITS}"
