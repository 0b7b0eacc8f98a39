"""The bytes in front of a request's body, encoded once per endpoint and then looked up."""

from __future__ import annotations

import re

from apps.providers.adapters.contract import UpstreamRequest
from chatvault.lib.errors import UpstreamForbidden
from chatvault.lib.http_guard import Target

# Framing and connection management are this client's own business.
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
    | {"connection", "keep-alive", "proxy-connection", "proxy-authorization"}
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_METHOD = re.compile(r"[A-Z]+")
CACHE_ENTRIES = 1024

_cache: dict[tuple[str, str, tuple[tuple[str, str], ...]], bytes] = {}


def request_head(request: UpstreamRequest, target: Target) -> bytes:
    """Request line and headers up to and including `content-length: `.

    Raises UpstreamForbidden if a name or value could end its line (header injection).
    """
    key = (request.method, request.url, request.headers)
    head = _cache.get(key)
    if head is None:
        head = _encode(request, target)
        if len(_cache) >= CACHE_ENTRIES:  # headers that differ every time must not pile up
            _cache.clear()
        _cache[key] = head
    return head


def _encode(request: UpstreamRequest, target: Target) -> bytes:
    if not _METHOD.fullmatch(request.method):
        raise UpstreamForbidden("The request's method is malformed.")
    lines = [f"{request.method} {target.path} HTTP/1.1", f"host: {target.authority}"]
    names = set()
    for name, value in request.headers:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise UpstreamForbidden("A header for the provider has forbidden characters in it.")
        if name.lower() not in _OURS:
            names.add(name.lower())
            lines.append(f"{name}: {value}")
    if "accept-encoding" not in names:
        lines.append("accept-encoding: identity")
    lines.append("content-length: ")
    return "\r\n".join(lines).encode("latin-1")
