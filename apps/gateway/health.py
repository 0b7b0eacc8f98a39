"""Probes: /livez (the process answers), /readyz (it may be sent requests), /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from functools import partial
from typing import Any

import msgspec

from apps.gateway.contracts import Headers
from apps.gateway.plane import DataPlane
from apps.gateway.plane_figures import PlaneFigures
from apps.gateway.reply import JSON, NO_STORE
from chatvault.lib.metrics import reporter
from chatvault.lib.metrics.access import Access
from chatvault.lib.metrics.text import CONTENT_TYPE, render

Scope = MutableMapping[str, Any]
Whole = tuple[int, Headers, bytes]


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


async def metrics(plane: DataPlane | None, scope: Scope) -> Whole:
    """The figures of all processes of this node, for those who may read them.

    Other processes' files and the database are read in a thread: requests do not wait.
    """
    known = reporter.running()
    access = known.access if known is not None else Access()
    refusal = access.refusal(scope.get("client"), scope.get("headers", ()))
    if refusal == 401:
        status, head, body = _json(401, {"status": "a token is needed"})
        return status, [*head, (b"www-authenticate", b"Bearer")], body
    if refusal is None and known is not None:
        read = known.exposition
    elif refusal is None and plane is not None:
        read = partial(_alone, plane)
    else:
        return _json(404, {"status": "not found"})
    text = await asyncio.get_running_loop().run_in_executor(None, read)
    return 200, [(b"content-type", CONTENT_TYPE), NO_STORE], text


def _alone(plane: DataPlane) -> bytes:
    """Where nothing else reports, as when a plane was put together by hand."""
    return render(list(PlaneFigures(plane, reporter.process_name())()))


def _json(status: int, content: dict[str, Any]) -> Whole:
    body = msgspec.json.encode(content)
    return status, [JSON, NO_STORE, (b"content-length", b"%d" % len(body))], body
