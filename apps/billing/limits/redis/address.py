"""Where the server is: a URL, a master watched by Sentinels, or the node of a cluster's slot."""

from __future__ import annotations

import ssl
from binascii import crc_hqx
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from chatvault.lib.redact import Secret

DEFAULT_PORT: Final = 6379
_SLOTS: Final = 16384


class Address(msgspec.Struct, frozen=True):
    """How to reach the server, and as whom. `path` is a Unix socket's, else empty."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    path: str = ""
    user: str = ""
    password: Secret = Secret("")
    database: int = 0
    is_tls: bool = False
    ca_file: str = ""
    mode: Literal["single", "sentinel", "cluster"] = "single"
    sentinels: tuple[tuple[str, int], ...] = ()
    service: str = ""

    def at(self, host: str, port: int) -> Address:
        """The same server's other place."""
        return msgspec.structs.replace(self, host=host, port=port, path="")

    def tls(self) -> ssl.SSLContext | None:
        """Certificates are always checked."""
        if not self.is_tls:
            return None
        return ssl.create_default_context(cafile=self.ca_file or None)

    def __repr__(self) -> str:
        return f"Address({self.path or f'{self.host}:{self.port}'})"


def parse_address(
    url: str,
    *,
    mode: Literal["single", "sentinel", "cluster"] = "single",
    sentinels: tuple[str, ...] = (),
    service: str = "",
    ca_file: str = "",
) -> Address:
    """Raises ValueError, which never holds the URL, when it cannot be read."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
        path = parts.path.strip("/")
        is_socket = parts.scheme == "unix"
        query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
        database = int(query.get("db", 0) if is_socket else path or 0)
        watched = tuple(_place(one) for one in sentinels)
    except ValueError:
        raise ValueError("REDIS_URL or CHATVAULT_REDIS_SENTINELS cannot be read") from None
    if parts.scheme not in ("redis", "rediss", "unix") and not (sentinels and not url):
        raise ValueError("REDIS_URL must begin with redis://, rediss:// or unix://")
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=port,
        path=unquote(parts.path) if is_socket else "",
        user=unquote(parts.username or ""),
        password=Secret(unquote(parts.password or "")),
        database=database,
        is_tls=parts.scheme == "rediss",
        ca_file=ca_file,
        mode=mode,
        sentinels=watched,
        service=service,
    )


def slot_of(key: str) -> int:
    """The hash slot of a key (redis.io/docs, cluster specification)."""
    start = key.find("{")
    end = key.find("}", start + 1)
    if start >= 0 and end > start + 1:
        key = key[start + 1 : end]
    return crc_hqx(key.encode(), 0) % _SLOTS


def _place(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
