"""What follows from errors that were booked: those that came back are open again, a credential
that works again is no trouble any more, what is too old goes. Found by query; twice is once."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import F
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from apps.usage.models import ErrorGroup, ErrorHour, RequestLog
from chatvault.lib import clock, correlation, trace_context

log = logging.getLogger(__name__)

EVERY_S: Final = 10.0
TASK: Final = "apps.usage.tasks.review_errors"
CREDENTIAL_REFUSED: Final = "upstream_credential_refused"
RECOVERED: Final = "(works again)"
_KEEP_HOURS: Final = timedelta(days=30)
_KEEP_RESOLVED: Final = timedelta(days=90)


def review() -> dict[str, int]:
    """How many groups were opened again, have recovered, and were forgotten."""
    now = clock.now()
    reopened = ErrorGroup.objects.recurred().update(
        state=ErrorGroup.State.OPEN, state_at=now, state_by="", reopened=F("reopened") + 1
    )
    recovered = sum(_recover(group) for group in credential_troubles())
    ErrorHour.objects.filter(hour__lt=now - _KEEP_HOURS).delete()
    old = ErrorGroup.objects.filter(
        state=ErrorGroup.State.RESOLVED, last_seen__lt=now - _KEEP_RESOLVED
    )
    forgotten, _ = old.delete()
    return {"reopened": reopened, "recovered": recovered, "forgotten": forgotten}


def credential_troubles() -> list[ErrorGroup]:
    """Where a provider refuses ChatVault's credential, and nobody has resolved it."""
    groups = ErrorGroup.objects.filter(
        kind=ErrorGroup.Kind.ATTEMPT, code=CREDENTIAL_REFUSED
    ).exclude(state=ErrorGroup.State.RESOLVED)
    return list(groups.order_by("first_seen", "pk"))


def _recover(group: ErrorGroup) -> bool:
    """The deployment has answered since: its credential is taken again."""
    answered = RequestLog.objects.filter(
        started_at__gt=group.last_seen,
        deployment_id=group.deployment_id,
        outcome=RequestLog.Outcome.OK,
    )
    if not answered.exists():
        return False
    unchanged = ErrorGroup.objects.filter(pk=group.pk, last_seen=group.last_seen)
    return bool(
        unchanged.update(state=ErrorGroup.State.RESOLVED, state_at=clock.now(), state_by=RECOVERED)
    )


class Asker:
    """Asks for a review soon after errors were booked. It has a thread of its own, so that a
    broker that does not answer keeps nobody waiting; what it cannot send, the timetable makes up
    for."""

    def __init__(self) -> None:
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._cause = (b"", b"")  # trace and request that the next review is for
        self._next_at = 0.0

    def ask(self, trace: bytes, request_id: bytes) -> None:
        """Returns at once; at most one review is sent in `EVERY_S`."""
        if not self._wake.is_set():
            self._cause = (trace, request_id)
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="error-review", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            threading.Event().wait(max(self._next_at - clock.monotonic(), 0.0))
            self._next_at = clock.monotonic() + EVERY_S
            (trace, request_id), self._cause = self._cause, (b"", b"")
            self._wake.clear()
            try:
                send(trace, request_id)
            except (OperationalError, OSError):
                log.warning("The broker cannot be reached; errors are reviewed at the next turn.")


def send(trace: bytes, request_id: bytes) -> None:
    """One message, in the trace of the request that caused it."""
    from apps.usage import tasks

    application: Any = import_string(settings.JOBS_APPLICATION)
    with correlation.within(request_id.hex()), trace_context.within(trace):
        application.send_task(tasks.review_errors.name, retry=False, expires=60)


asker: Final = Asker()
