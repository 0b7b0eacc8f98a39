"""The lifespan part of ASGI: the plane starts before the first request and stops after the last."""

import logging
from collections.abc import Awaitable, Callable

from chatvault.asgi_types import Receive, Send

logger = logging.getLogger(__name__)


async def serve_lifespan(
    receive: Receive,
    send: Send,
    *,
    start: Callable[[], Awaitable[object]],
    stop: Callable[[], Awaitable[object]],
) -> None:
    """Answers startup and shutdown; a plane that cannot start is reported and ends the server."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await start()
            except Exception as error:  # the outermost edge: the server must hear of any reason
                logger.exception("The gateway could not start")
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
