"""Probes: /livez (the process answers), /readyz (it may be sent requests), /metrics."""

from __future__ import annotations

import ipaddress
from collections.abc import MutableMapping
from typing import Any

import msgspec

from apps.gateway.contracts import Headers
from apps.gateway.plane import DataPlane
from apps.gateway.reply import JSON, NO_STORE

Scope = MutableMapping[str, Any]
Whole = tuple[int, Headers, bytes]

# A proxy on this machine speaks for somebody else.
_RELAYED = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via"})


def live(plane: DataPlane | None, scope: Scope) -> Whole:
    return _json(200, {"status": "ok"})


def ready(plane: DataPlane | None, scope: Scope) -> Whole:
    """503 while it starts or drains, or when nothing could be recorded."""
    if plane is None:
        return _json(503, {"status": "starting"})
    checks = {
        "snapshot": plane.view.snapshot.version,
        "journal": "ok" if plane.journal.is_writable() else "not writable",
        "draining": plane.is_draining,
    }
    is_ready = checks["journal"] == "ok" and not plane.is_draining
    status = "ok" if is_ready else "not ready"
    return _json(200 if is_ready else 503, {"status": status, **checks})


def metrics(plane: DataPlane | None, scope: Scope) -> Whole:
    """Prometheus' text format, for callers on this machine only."""
    client = scope.get("client")
    is_relayed = any(name in _RELAYED for name, _ in scope.get("headers", ()))
    if client is None or not ipaddress.ip_address(client[0]).is_loopback or is_relayed or not plane:
        return _json(404, {"status": "not found"})
    stats = plane.pool.stats()
    plane.metrics.gauges.update(
        {
            "chatvault_upstream_connections_open": stats.open,
            "chatvault_upstream_connections_idle": stats.idle,
            "chatvault_requests_running": len(plane.live),
            "chatvault_snapshot_version": plane.view.snapshot.version,
        }
    )
    body = plane.metrics.exposition()
    return 200, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8"), NO_STORE], body


def _json(status: int, content: dict[str, Any]) -> Whole:
    body = msgspec.json.encode(content)
    return status, [JSON, NO_STORE, (b"content-length", b"%d" % len(body))], body
