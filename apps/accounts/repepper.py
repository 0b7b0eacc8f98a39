"""Keys move to the newest pepper when they are used, behind the request that used them.

What was shown is known only while it is asked about: its digest under the newest pepper is the
question's own. So the move needs no key, only the row and the two digests.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from django.db import DatabaseError, close_old_connections, connection

from apps.accounts.models import ApiKey

logger: Final = logging.getLogger(__name__)


class Move(NamedTuple):
    key_id: int
    old: str
    new: str


class _Mover:
    """One thread a process, made when it is first needed."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0

    def take(self, moves: Sequence[Move], number: int) -> None:
        if self._pool is None or self._pid != os.getpid():
            self._pool = ThreadPoolExecutor(1, "repepper")
            self._pid = os.getpid()
        self._pool.submit(_apart, moves, number)


_mover: Final = _Mover()


def soon(moves: Sequence[Move], number: int) -> None:
    """Nobody waits for it; what fails is tried again at a later use."""
    _mover.take(moves, number)


def move(moves: Sequence[Move], number: int) -> int:
    """Store each row under its new digest, unless somebody changed it meanwhile. How many."""
    return sum(
        ApiKey.objects.filter(pk=one.key_id, digest=one.old).update(
            digest=one.new, digest_scheme=ApiKey.Scheme.HMAC, pepper=number
        )
        for one in moves
    )


def _apart(moves: Sequence[Move], number: int) -> None:
    close_old_connections()
    try:
        move(moves, number)
    except DatabaseError as problem:
        logger.warning("keys stay under an older pepper for now: %s", type(problem).__name__)
    finally:
        connection.close()
