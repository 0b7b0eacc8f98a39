"""Figures that are read from the database, so that a scrape never waits for it long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import ClassVar, Final

from django.db import Error, connection, transaction

from chatvault.lib import clock
from chatvault.lib.metrics.families import Family, Figures, Rows, single

logger = logging.getLogger(__name__)

MAX_AGE_S: Final = 15.0
PATIENCE_S: Final = 2.0
FORGET_S: Final = 300.0
_TIMEOUT: Final = "SET LOCAL statement_timeout = 5000"  # milliseconds

UP: Final = Family(
    "chatvault_control_plane_up", "gauge", "1 when the database told these figures when last asked."
)
AGE: Final = Family(
    "chatvault_control_plane_age_seconds", "gauge", "How old the database's figures are."
)
TOOK: Final = Family(
    "chatvault_control_plane_read_seconds", "gauge", "How long reading them took the last time."
)


class DatabaseReader:
    """A source that remembers. One thread at a time asks the database; a scrape waits for it at
    most two seconds and then tells what was read before, up to five minutes old."""

    FAMILIES: ClassVar = (UP, AGE, TOOK)

    def __init__(self, read: Callable[[], Figures], *, patience_s: float = PATIENCE_S) -> None:
        self._read = read
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self._figures: list[tuple[Family, Rows]] = []
        self._read_at = float("-inf")
        self._took_s = 0.0
        self._is_up = False

    def __call__(self) -> Figures:
        asking = self._ask_when_due()
        if asking is not None:
            asking.join(self._patience_s)
        age_s = clock.monotonic() - self._read_at
        is_stuck = asking is not None and asking.is_alive()
        yield UP, single(int(self._is_up and not is_stuck))
        if age_s < FORGET_S:
            yield AGE, single(age_s)
            yield TOOK, single(self._took_s)
            yield from self._figures

    def _ask_when_due(self) -> threading.Thread | None:
        with self._lock:
            if self._asking is not None and self._asking.is_alive():
                return self._asking
            if clock.monotonic() - self._read_at < MAX_AGE_S:
                return None
            self._asking = threading.Thread(target=self._ask, name="control-figures", daemon=True)
            self._asking.start()
            return self._asking

    def _ask(self) -> None:
        began = clock.monotonic()
        try:
            self._figures = _limited(self._read)
        except Exception as error:  # the thread's edge: whatever it is, the figures are missing
            if self._is_up or not isinstance(error, Error):
                logger.warning("figures cannot be read: %s", type(error).__name__)
            self._is_up = False
            return
        finally:
            connection.close()
        self._read_at = clock.monotonic()
        self._took_s = self._read_at - began
        self._is_up = True


def _limited(read: Callable[[], Figures]) -> list[tuple[Family, Rows]]:
    """On PostgreSQL no statement may take longer than five seconds. SQLite has no such limit, and
    a transaction would take its write lock."""
    if connection.vendor != "postgresql":
        return list(read())
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_TIMEOUT)
        return list(read())
