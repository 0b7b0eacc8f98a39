"""Faults of processes that write no journal, such as the admin's and the workers': a thread adds
them to the error groups itself. A gateway's go by its journal."""

from __future__ import annotations

import logging
import threading
from typing import Final

from django.db import Error, connection, transaction

from apps.usage.error_groups import Errors, save
from apps.usage.names import Names
from apps.usage.records import FaultRow
from chatvault.lib.faults import faults

log = logging.getLogger(__name__)

EVERY_S: Final = 10.0


class FaultLog:
    """One in a process, started after the last fork."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was noted last is written, if the database takes it at once."""
        self._stop.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            write()
        write()


def write() -> int:
    """Add what was noted since the last time; returns how many kinds. What the database does not
    take is kept for the next time."""
    found = faults.take()
    if not found:
        return 0
    errors = Errors()
    for one in found:
        errors.add_fault(
            FaultRow(one.name, one.place, one.count, one.last_ms, one.detail, one.request_id)
        )
    try:
        with transaction.atomic():
            save(errors, Names())
    except Error as error:
        for one in found:
            faults.add(one)
        log.warning("The database does not take faults: %s", type(error).__name__)
        return 0
    finally:
        connection.close()  # a thread's own
    return len(found)
