"""The data plane of this process: started once, asked for by the doors, stopped in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from apps.gateway.gate import keep_gate
from chatvault.lib.metrics import reporter

if TYPE_CHECKING:
    from apps.gateway.plane import DataPlane
    from apps.gateway.wiring import Wiring


class _Process:
    """What this process runs; one instance, below."""

    plane: DataPlane | None = None
    wiring: Wiring | None = None
    gate_watch: asyncio.Task[None] | None = None


_process = _Process()


def running() -> DataPlane | None:
    """The plane that serves, or None before the start and after the stop."""
    return _process.plane


def use(plane: DataPlane | None) -> None:
    """Serve by a plane that was put together elsewhere, as tests do."""
    _process.plane = plane


async def start() -> None:
    """Put the plane together from settings and database, and follow changes from then on."""
    from django.conf import settings

    from apps.gateway import reporting  # the control plane's side: not for the hot path
    from apps.gateway.wiring import Wiring
    from chatvault.process import begin
    from chatvault.telemetry import setup

    begin("gateway")
    _process.wiring = wiring = Wiring()
    plane = await wiring.start()
    reporting.start_gateway(plane)
    _process.gate_watch = asyncio.create_task(keep_gate(plane.gate, plane.metrics))
    plane.watch(setup.tracer(), settings.CHATVAULT.log.access_ratio)
    use(plane)


async def stop() -> None:
    """End following, close connections, seal the journal. Requests have ended before."""
    wiring, _process.wiring = _process.wiring, None
    if _process.gate_watch is not None:
        _process.gate_watch.cancel()
    if wiring is not None:
        await wiring.stop()
    reporter.stop()
    use(None)
