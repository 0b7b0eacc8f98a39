"""Which addresses the outside world may make us connect to. Every outgoing HTTP client asks here.

A URL in a configuration is somebody's wish, not a fact: its host may spell a private address
oddly, or its name may resolve to one, now or only the second time. So a name is resolved once,
every address it has is judged, and the caller connects to a judged address and to nothing else.
Special ranges follow the IANA special-purpose registries (RFC 6890) and RFC 6052 (NAT64).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import msgspec

from chatvault.lib.errors import UpstreamConnectFailed, UpstreamForbidden

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[list[str]]]

DEFAULT_PORTS = {"http": 80, "https": 443}
CACHE_S = 5.0
CACHE_ENTRIES = 1024

_URL = re.compile(r"(https?)://([^/?#\\]*)([^#]*)(?:#.*)?", re.IGNORECASE)
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_PATH_SAFE = "".join(chr(c) for c in range(0x21, 0x7F))


def _networks(*texts: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# The standard library's `is_global` changed between patch releases; this list does not.
_NEVER_PUBLIC = _networks(
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)  # fmt: skip
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Where clouds hand out credentials. A listed *name* never opens these, only the literal does.
_METADATA = _networks(
    "169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "100.100.100.200/32",
    "168.63.129.16/32", "192.0.0.192/32", "0.0.0.0/8", "224.0.0.0/4", "ff00::/8", "::/128",
)  # fmt: skip


class ResolvedAddress(msgspec.Struct, frozen=True):
    """An address that was judged and may be connected to."""

    ip: str
    port: int
    family: int


class Target(msgspec.Struct, frozen=True):
    """A URL taken apart. `host` is normalised: ASCII, lower case, literals in plain spelling."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What belongs into the Host header: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if DEFAULT_PORTS[self.scheme] == self.port else f"{host}:{self.port}"


def parse_target(url: str) -> Target:
    """Take an absolute http(s) URL apart. Raises UpstreamForbidden for anything ambiguous:
    other schemes, userinfo, backslashes, blanks, control characters, bad hosts or ports."""
    match = _URL.fullmatch(url)
    if match is None or any(c <= " " or c == "\x7f" for c in url):
        raise UpstreamForbidden("The provider's URL is not an absolute http or https URL.")
    scheme, authority, path = match[1].lower(), match[2], match[3]
    if "@" in authority or "\\" in url:
        raise UpstreamForbidden("The provider's URL has a user name or a backslash in it.")
    host, port = _split_authority(authority, DEFAULT_PORTS[scheme])
    if not path.startswith("/"):
        path = "/" + path
    return Target(scheme, normalise_host(host), port, quote(path, safe=_PATH_SAFE))


def _split_authority(authority: str, default_port: int) -> tuple[str, int]:
    if authority.startswith("["):
        host, bracket, rest = authority[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise UpstreamForbidden("The provider's URL has a malformed host.")
        port_text = rest[1:]
    else:
        host, _, port_text = authority.partition(":")
    if not port_text:
        return host, default_port
    is_number = port_text.isascii() and port_text.isdigit() and len(port_text) <= 5
    if not is_number or not 0 < int(port_text) < 65536:
        raise UpstreamForbidden("The provider's URL has a malformed port.")
    return host, int(port_text)


def normalise_host(host: str) -> str:
    """One spelling per host: IDN to ASCII (UTS 46), lower case, no trailing dot, numbers in any
    base to a plain literal. Raises UpstreamForbidden for what is neither a name nor an address."""
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            raise UpstreamForbidden("The provider's host is not an IPv6 address.") from None
        if address.scope_id is not None:
            raise UpstreamForbidden("The provider's host has a zone in it.")
        return str(address)
    if not host.isascii():
        host = _idn_to_ascii(host)
    host = host.lower().removesuffix(".")
    if _NUMERIC_END.fullmatch(host):
        return _plain_ipv4(host)
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise UpstreamForbidden("The provider's host is not a host name.")
    return host


def _idn_to_ascii(host: str) -> str:
    import idna  # its tables take a megabyte and most installations never need them

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise UpstreamForbidden("The provider's host is not a host name.") from None


def _plain_ipv4(host: str) -> str:
    """Whatever ends in a number is an address (WHATWG URL), read as inet_aton(3) reads it."""
    try:
        return str(ipaddress.IPv4Address(socket.inet_aton(host)))
    except OSError:
        raise UpstreamForbidden("The provider's host is not an IPv4 address.") from None


def unwrap(address: IpAddress) -> IpAddress:
    """The address that packets really go to: out of IPv4-mapped and NAT64 (RFC 6052) forms."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: IpAddress) -> bool:
    """May anybody's URL lead here? Tunnels (6to4, Teredo) and local NAT64 never may: nobody
    serves an API there, and what they carry to is not ours to know."""
    address = unwrap(address)
    if not address.is_global or _is_within(address, _NEVER_PUBLIC + _METADATA):
        return False
    return address.version == 4 or address in _GLOBAL_UNICAST


def _is_within(
    address: IpAddress, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
) -> bool:
    return any(address.version == network.version and address in network for network in networks)


class AddressGuard:
    """Judges hosts; one per event loop.

    `private_hosts` are the operator's exceptions: "host" (any port) or "host:port"; IPv6 in
    brackets when a port follows.

    Answers are kept for `CACHE_S` seconds so that a burst of new connections asks DNS once;
    what is kept has been judged, so a name that changes its mind gains nothing by it.
    """

    def __init__(self, private_hosts: tuple[str, ...] = (), *, lookup: Lookup | None = None):
        self._hosts: set[str] = set()
        self._host_ports: set[tuple[str, int]] = set()
        for entry in private_hosts:
            self._allow(entry)
        self._lookup = lookup or _system_lookup
        self._cache: dict[tuple[str, int, str], tuple[float, list[ResolvedAddress]]] = {}
        self._asking: dict[tuple[str, int, str], asyncio.Task[list[ResolvedAddress]]] = {}

    def _allow(self, entry: str) -> None:
        text = entry.strip()
        if text.count(":") > 1 and not text.startswith("["):
            host, port = text, 0
        else:
            host, port = _split_authority(text, 0)
        if port:
            self._host_ports.add((normalise_host(host), port))
        else:
            self._hosts.add(normalise_host(host))

    def is_listed(self, host: str, port: int) -> bool:
        """Did the operator list this (normalised) host?"""
        return host in self._hosts or (host, port) in self._host_ports

    async def resolve(self, host: str, port: int, *, scheme: str) -> list[ResolvedAddress]:
        """Addresses to connect to, in the resolver's order; never empty.

        Raises UpstreamForbidden if the port or any address of the host is not allowed, and
        UpstreamConnectFailed if the name has no address.
        """
        host = normalise_host(host)
        if not self.is_listed(host, port) and DEFAULT_PORTS.get(scheme) != port:
            raise UpstreamForbidden(
                "Providers are called on port 80 (http) or 443 (https) only; "
                "an operator can list other ports in CHATVAULT_PRIVATE_HOSTS."
            )
        key = (host, port, scheme)
        now = asyncio.get_running_loop().time()
        kept = self._cache.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        task = self._asking.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(host, port))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(task)

    def _keep(self, key: tuple[str, int, str], done: asyncio.Task[list[ResolvedAddress]]) -> None:
        self._asking.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            return
        if len(self._cache) >= CACHE_ENTRIES:
            self._cache.clear()
        self._cache[key] = (done.get_loop().time() + CACHE_S, done.result())

    async def _ask(self, host: str, port: int) -> list[ResolvedAddress]:
        addresses = [_literal(host)] if _is_literal(host) else await self._named(host, port)
        for address in addresses:
            self._judge(host, port, address)
        return [
            ResolvedAddress(
                str(address), port, socket.AF_INET if address.version == 4 else socket.AF_INET6
            )
            for address in addresses
        ]

    async def _named(self, host: str, port: int) -> list[IpAddress]:
        try:
            found = await self._lookup(host, port)
            addresses = [_literal(text) for text in dict.fromkeys(found)]
        except (OSError, ValueError):
            raise UpstreamConnectFailed("The provider's host name has no address.") from None
        if not addresses:
            raise UpstreamConnectFailed("The provider's host name has no address.")
        return addresses

    def _judge(self, host: str, port: int, address: IpAddress) -> None:
        if is_public(address):
            return
        if self.is_listed(host, port) and (
            _is_literal(host) or not _is_within(unwrap(address), _METADATA)
        ):
            return
        raise UpstreamForbidden(
            "The provider's address is private or reserved; "
            "an operator can list its host in CHATVAULT_PRIVATE_HOSTS."
        )


def _is_literal(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


def _literal(text: str) -> IpAddress:
    return ipaddress.ip_address(text)


async def _system_lookup(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]
