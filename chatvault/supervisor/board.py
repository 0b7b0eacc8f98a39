"""How many connections each process of the front has, in memory that they all see."""

import mmap
from typing import Final

SEATS: Final = 256
_FREE: Final = -2
_AWAY: Final = -1  # starting, or on its way out: it takes no connections


class Board:
    """Made before the first fork. The supervisor gives out seats; each process writes its own."""

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, SEATS * 4)).cast("i")
        for seat in range(SEATS):
            self._counts[seat] = _FREE
        self.mine = -1
        """This process's seat, set after the fork."""

    def take_seat(self) -> int:
        """For a process that is about to start. Raises ValueError when all are taken."""
        seat = self._counts.tolist().index(_FREE)
        self._counts[seat] = _AWAY
        return seat

    def free(self, seat: int) -> None:
        """Its process is gone."""
        if seat >= 0:
            self._counts[seat] = _FREE

    def write(self, count: int) -> None:
        self._counts[self.mine] = count

    def leave(self) -> None:
        """This process takes no more connections."""
        self._counts[self.mine] = _AWAY

    def least(self) -> int:
        """Connections of the process that has the fewest; 0 when none takes any."""
        return min((count for count in self._counts.tolist() if count >= 0), default=0)
