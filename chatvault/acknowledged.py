"""A request of the worker that tells when its message could not be acknowledged."""

from __future__ import annotations

import threading

from celery.worker.request import Request

failed = threading.Event()
"""Set once the broker was away when a finished job's message should have been acknowledged."""

lost: set[str] = set()
"""The ids of those jobs: they are done, and may keep their place all the same."""


class TellingRequest(Request):
    def acknowledge(self) -> None:
        super().acknowledge()  # logs what goes wrong, and goes on as if nothing had
        if not self.message.acknowledged:
            lost.add(self.id)
            failed.set()
