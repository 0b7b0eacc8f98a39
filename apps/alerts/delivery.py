"""Bringing alerts to channels: each delivery is claimed by one statement, tried, and told.

Two workers never send the same delivery: who claims it changes its state, the other changes
nothing. A worker that dies over one leaves it claimed until its lease is over; then it is sent
again under the same id, for nobody knows whether it had arrived.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import F

from apps.alerts import senders
from apps.alerts.errors import SendFailed
from apps.alerts.models import Delivery
from chatvault.lib import clock

LEASE: Final = timedelta(minutes=10)
MOST_AT_ONCE: Final = 500
LONGEST_ROUND_S: Final = 120.0
GROWTH: Final = 3
State = Delivery.State
_logger = logging.getLogger(__name__)


def deliver_due(step: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Send what is due, the oldest first; how much was sent. A channel that failed is left alone
    for the rest of this round, so that one that hangs does not hold up the others; a round that
    takes too long leaves the rest to the next."""
    ends_at = clock.monotonic() + LONGEST_ROUND_S
    due = Delivery.objects.due(clock.now()).order_by("next_at", "pk")
    waiting = list(due.values_list("pk", "channel_id")[:MOST_AT_ONCE])
    failed: set[int] = set()
    sent = 0
    for number, (pk, channel_id) in enumerate(waiting):
        step(number, len(waiting))
        if clock.monotonic() > ends_at:
            break
        if channel_id in failed:
            continue
        row = attempt(pk)
        if row is not None and row.state == State.SENT:
            sent += 1
        elif row is not None:
            failed.add(channel_id)
    step(len(waiting), len(waiting))
    return sent


def attempt(pk: int) -> Delivery | None:
    """Try a delivery once. None: it is not due, or somebody else has it."""
    now = clock.now()
    claimed = Delivery.objects.due(now).filter(pk=pk)
    if not claimed.update(state=State.SENDING, attempts=F("attempts") + 1, next_at=now + LEASE):
        return None
    return perform(Delivery.objects.select_related("alert", "channel").get(pk=pk))


def perform(row: Delivery, *, is_test: bool = False) -> Delivery | None:
    """Send what is claimed by the caller and keep how it went; a test goes to channels that are
    switched off, too, and is not repeated. None: the lease was over, and somebody else has it."""
    began = clock.monotonic()
    problem = _send(row, is_test)
    took_ms = int((clock.monotonic() - began) * 1000)
    values = _outcome(row, problem, clock.now(), is_test) | {"duration_ms": took_ms}
    ours = Delivery.objects.filter(pk=row.pk, state=State.SENDING, attempts=row.attempts)
    if not ours.update(**values):
        return None
    for name, value in values.items():
        setattr(row, name, value)
    if problem:
        _logger.warning(
            "Alert %s to channel %s: attempt %s failed: %s",
            row.alert_id, row.channel_id, row.attempts, problem,
        )  # fmt: skip
    return row


def wait_after(attempts: int) -> timedelta:
    """How long to wait after so many failures."""
    limits = settings.CHATVAULT.alerts
    wait_s = limits.first_retry_s * GROWTH ** (attempts - 1)
    return timedelta(seconds=min(wait_s, limits.longest_retry_s))


def _send(row: Delivery, is_test: bool) -> str:
    """What went wrong; empty when the receiver has it."""
    if not (row.channel.is_active or is_test):
        return "The channel is switched off."
    try:
        senders.send(row)
    except SendFailed as failed:
        return failed.message
    except Exception as error:  # one broken channel must not keep alerts from the others
        _logger.exception("Alert %s to channel %s", row.alert_id, row.channel_id)
        return f"ChatVault failed to send it: {type(error).__name__}."
    return ""


def _outcome(row: Delivery, problem: str, now: datetime, is_last: bool) -> dict[str, Any]:
    if not problem:
        return {"state": State.SENT, "sent_at": now, "next_at": None, "last_error": ""}
    is_last = is_last or not row.channel.is_active
    if is_last or row.attempts >= settings.CHATVAULT.alerts.max_attempts:
        return {"state": State.GIVEN_UP, "next_at": None, "last_error": problem}
    later = now + wait_after(row.attempts)
    return {"state": State.FAILED, "next_at": later, "last_error": problem}
