"""Bodies that come through an ASGI server, within the ceilings of one and of all together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from apps.gateway.contracts import ClientGone
from apps.gateway.plane import DataPlane
from chatvault.lib.errors import BodyTooLarge, ChatVaultError, NotReady

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class BodyReader:
    """Reads one body, and lets go of its memory when told to `drop` it."""

    __slots__ = ("_held", "_plane")

    def __init__(self, plane: DataPlane | None) -> None:
        self._plane = plane
        self._held = 0

    async def read(self, receive: Receive, announced: int) -> bytes | ChatVaultError:
        """The whole body, or the refusal of one that is too large. Raises ClientGone."""
        plane = self._plane
        if plane is None:
            return NotReady()
        most = plane.options.max_body_bytes
        if announced > most:
            return too_large(plane)
        parts: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            if self._held + len(part) > most:
                return too_large(plane)
            if not plane.gate.hold(len(part)):
                plane.metrics.shed("bodies")
                return plane.gate.refusal()
            self._held += len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def drop(self) -> None:
        if self._plane is not None:
            self._plane.gate.drop(self._held)
        self._held = 0


def too_large(plane: DataPlane) -> BodyTooLarge:
    mib = plane.options.max_body_bytes / 2**20
    return BodyTooLarge(f"The body is larger than {mib:g} MiB, the most this gateway accepts.")
