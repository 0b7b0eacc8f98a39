"""What this process refused lately. Refusals are never written: a flood of them costs memory of
a fixed size and no disk."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from apps.usage.refused import Refusal, Report
from chatvault.lib import clock

if TYPE_CHECKING:
    from apps.accounts.credentials import KeyCache
    from apps.gateway.contracts import GatewayRequest
    from chatvault.lib.errors import ChatVaultError

KEPT: Final = 500
MAX_ALIAS: Final = 200
MAX_MESSAGE: Final = 500
_MAX_TOKEN_BYTES: Final = 512
STRANGERS: Final = 0


class Refusals:
    """The latest `KEPT` refusals of known keys, and how many there were by client and code.

    Written by the event loop alone. `report` may be called from any thread: it copies, each
    time in one step of the interpreter.
    """

    def __init__(self) -> None:
        self.since_s = clock.wall_s()
        self._latest: deque[Refusal] = deque(maxlen=KEPT)
        self._counts: dict[tuple[int, str], int] = {}

    def note(self, request: GatewayRequest, error: ChatVaultError, keys: KeyCache) -> None:
        """Remember a refusal. Callers whose key is not known leave a count of their code only."""
        key, code = request.key, error.public_code
        if key is None and request.token and len(request.token) <= _MAX_TOKEN_BYTES:
            key = keys.find(request.token)  # refused before, or because of, its own state
        counted = (key.client_id if key is not None else STRANGERS, code)
        self._counts[counted] = self._counts.get(counted, 0) + 1
        if key is not None:
            self._latest.append(
                Refusal(
                    at_s=clock.wall_s(),
                    client_id=key.client_id,
                    key_id=key.key_id,
                    alias=request.alias[:MAX_ALIAS],
                    status=error.http_status,
                    code=code,
                    message=error.message[:MAX_MESSAGE],
                )
            )

    def report(self) -> Report:
        latest, counts = tuple(self._latest), self._counts.copy()
        return Report(since_s=self.since_s, latest=latest[::-1], counts=counts)
