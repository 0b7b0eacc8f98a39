"""What this process refused lately: the latest in memory, and counts for the journal. A flood of
refusals costs memory of a fixed size, and of the disk a record of a bounded size now and again."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from apps.usage.records import RefusedRow
from apps.usage.refused import Refusal, Report
from chatvault.lib import clock

if TYPE_CHECKING:
    from apps.accounts.credentials import KeyRecord
    from apps.accounts.key_cache import KeyCache
    from apps.gateway.contracts import GatewayRequest
    from chatvault.lib.errors import ChatVaultError

KEPT: Final = 500
MAX_ALIAS: Final = 200
MAX_MESSAGE: Final = 500
_MAX_TOKEN_BYTES: Final = 8192
STRANGERS: Final = 0
MOST_KINDS: Final = 24  # of a record: a client, a key, a model and a code each
_MAX_STORED: Final = 150
_MAX_TOLD: Final = 200
_Kind = tuple[int, int, str, str]


class Refusals:
    """The latest `KEPT` refusals of known keys, and how many there were by client and code.

    Written by the event loop alone. `report` may be called from any thread: it copies, each
    time in one step of the interpreter.
    """

    def __init__(self) -> None:
        self.since_s = clock.wall_s()
        self._latest: deque[Refusal] = deque(maxlen=KEPT)
        self._counts: dict[tuple[int, str], int] = {}
        self._pending: dict[_Kind, RefusedRow] = {}

    def note(self, request: GatewayRequest, error: ChatVaultError, keys: KeyCache) -> None:
        """Remember a refusal. Callers whose key is not known leave a count of their code only."""
        key, code = request.key, error.public_code
        if key is None and request.token and len(request.token) <= _MAX_TOKEN_BYTES:
            key = keys.find(request.token)  # refused before, or because of, its own state
        counted = (key.client_id if key is not None else STRANGERS, code)
        self._counts[counted] = self._counts.get(counted, 0) + 1
        now_s = clock.wall_s()
        self._count(key, request.alias, error, int(now_s * 1000))
        if key is not None:
            self._latest.append(
                Refusal(
                    at_s=now_s,
                    client_id=key.client_id,
                    key_id=key.key_id,
                    alias=request.alias[:MAX_ALIAS],
                    status=error.http_status,
                    code=code,
                    message=error.message[:MAX_MESSAGE],
                )
            )

    def _count(self, key: KeyRecord | None, alias: str, error: ChatVaultError, now_ms: int) -> None:
        """For the journal: by client, key, model and code, while there is room; else coarser."""
        code, message = error.public_code, error.message
        kind = (STRANGERS, 0, "", code)
        if key is not None:
            known = (key.client_id, key.key_id, _printable(alias, _MAX_STORED), code)
            for one, most in ((known, MOST_KINDS), ((key.client_id, 0, "", code), 2 * MOST_KINDS)):
                if one in self._pending or len(self._pending) < most:
                    kind = one
                    break
        before = self._pending.get(kind)
        count = before.count + 1 if before is not None else 1
        told = _printable(message, _MAX_TOLD) if kind[1] else ""
        self._pending[kind] = RefusedRow(*kind, error.http_status, count, now_ms, told)

    def pending(self) -> tuple[RefusedRow, ...]:
        """What is not in the journal yet. Call `written` when it is."""
        return tuple(self._pending.values())

    def written(self) -> None:
        self._pending = {}

    def report(self) -> Report:
        latest, counts = tuple(self._latest), self._counts.copy()
        return Report(since_s=self.since_s, latest=latest[::-1], counts=counts)


def _printable(text: str, most: int) -> str:
    """What a database takes and a page shows in one line."""
    cut = text[:most]
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "�" for c in cut)
