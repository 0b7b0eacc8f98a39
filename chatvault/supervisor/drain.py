"""How a process of the front ends: it finishes what runs, and cuts off what takes too long."""

import asyncio
import time
from typing import Any, Protocol

from django.conf import settings

from apps.gateway import lifecycle
from chatvault.progress import say

_LOOK_EVERY_S = 0.02
_CUT_OFF_S = 3.0  # to close the books of what is cut off, and to tell the clients


class Serving(Protocol):
    """What is asked of uvicorn's server."""

    server_state: Any
    force_exit: bool


async def drain(server: Serving) -> None:
    """Returns when nobody is served any more. Streams that outlast the patience end in an error
    event, other requests in a 503: never in something that looks like a whole answer."""
    gateway = settings.CHATVAULT.gateway
    began = time.monotonic()
    await _until_idle(server, began, linger_s=gateway.linger_s, patience_s=gateway.drain_timeout_s)
    tasks = list(server.server_state.tasks)
    if tasks and not server.force_exit:
        say(f"cutting off {len(tasks)} requests that did not end in {gateway.drain_timeout_s:g} s")
        if (plane := lifecycle.running()) is not None:
            plane.is_ending = True
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_CUT_OFF_S)
    for connection in list(server.server_state.connections):
        connection.transport.close()
    await asyncio.sleep(0)


async def _until_idle(server: Serving, began: float, *, linger_s: float, patience_s: float) -> None:
    state = server.server_state
    while (state.connections or state.tasks) and not server.force_exit:
        waited_s = time.monotonic() - began
        for connection in list(state.connections):
            connection.shutdown()  # again and again: one may have been taken a moment ago
            if waited_s >= linger_s:
                connection.leave()
        if waited_s >= patience_s:
            return
        await asyncio.sleep(_LOOK_EVERY_S)
