"""How often a client may ask for dry runs, which use no limit of anybody."""

from __future__ import annotations

from typing import Final

from chatvault.lib import clock
from chatvault.lib.errors import RateLimited

MOST_PER_MINUTE: Final = 300  # of one client in one process
_MINUTE_S: Final = 60
_MOST_CLIENTS: Final = 10_000


class DryRunPace:
    """Of one process: so many in each minute of the clock."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: dict[int, int] = {}

    def take(self, client_id: int) -> None:
        """Raises RateLimited."""
        now_s = clock.monotonic()
        minute = int(now_s // _MINUTE_S)
        if minute != self._minute or len(self._counts) >= _MOST_CLIENTS:
            self._minute, self._counts = minute, {}
        count = self._counts.get(client_id, 0)
        if count >= MOST_PER_MINUTE:
            wait_s = int((minute + 1) * _MINUTE_S - now_s) + 1
            raise RateLimited(
                f"A client may ask for {MOST_PER_MINUTE} dry runs per minute. Try again in "
                f"{wait_s} s.",
                headers={"retry-after": str(wait_s)},
            )
        self._counts[client_id] = count + 1
