"""Telling: an alert is rows in the caller's transaction, and is sent after the commit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import F

from apps.accounts.models import Team
from apps.alerts.models import Alert, Channel, Delivery
from apps.audit import trail
from apps.configuration import job_queue
from chatvault.lib import clock, tenancy

_DELIVER: Final = "apps.alerts.tasks.deliver"
_EXPIRES_S: Final = 60  # by then the beat has looked itself
_TRIES: Final = 5
_logger = logging.getLogger(__name__)


def tell(
    topic: str,
    *,
    key: str,
    title: str,
    text: str,
    team_id: int | None,
    facts: Mapping[str, Any],
    until: datetime | None = None,
    link: str = "",
) -> int:
    """Tell it to every channel of the topic and the team, once; returns the alert's id.

    The same topic and key again, before `until` (None: ever), is only counted. Nothing is sent
    when the caller's transaction is undone. `team_id` None: it is about the installation, and
    goes to the channels of no team. `link` is the path of a page of the admin.
    """
    now = clock.now()
    with tenancy.unlimited(), transaction.atomic():
        values: dict[str, Any] = {
            "title": title[:200],
            "text": text,
            "facts": dict(facts),
            "team_id": team_id,
            "team_name": _name_of(team_id),
            "until": until,
            "link": link,
        }
        alert_id, is_new = _occurrence(topic, key[:200], values, now)
        if is_new:
            channels = Channel.objects.taking(topic, team_id)
            waiting = [Delivery(alert_id=alert_id, channel=one, next_at=now) for one in channels]
            if Delivery.objects.bulk_create(waiting):
                transaction.on_commit(wake, robust=True)
    return alert_id


def wake() -> None:
    """A worker looks for what waits at once; without the message the beat does."""
    job_queue.send_task(_DELIVER, expires_s=_EXPIRES_S)


def _name_of(team_id: int | None) -> str:
    if team_id is None:
        return ""
    return Team.objects.filter(pk=team_id).values_list("name", flat=True).first() or ""


def _occurrence(topic: str, key: str, values: dict[str, Any], now: datetime) -> tuple[int, bool]:
    """The alert, and whether it was made just now. Of two at the same time one makes it: the
    database holds the key of what is current."""
    current = Alert.objects.filter(topic=topic, key=key, is_current=True)
    for _ in range(_TRIES):
        current.filter(until__lte=now).update(is_current=False)
        if current.update(count=F("count") + 1, last_at=now):
            found = current.values_list("pk", flat=True).first()
            if found is not None:
                return found, False
        try:
            with transaction.atomic():
                return Alert.objects.create(
                    topic=topic, key=key, at=now, last_at=now, **values
                ).pk, True
        except IntegrityError:
            continue  # somebody else was quicker
    raise RuntimeError(f"The alert {topic} {key} is told by too many at the same time.")


@transaction.atomic
def retry(*, deliveries: list[Delivery]) -> int:
    """Send again what was given up or failed; what was sent stays. How many."""
    count = 0
    for row in deliveries:
        again = Delivery.objects.filter(
            pk=row.pk, state__in=(Delivery.State.FAILED, Delivery.State.GIVEN_UP)
        )
        if again.update(state=Delivery.State.WAITING, attempts=0, next_at=clock.now()):
            trail.record("delivery.retried", target=row, team_id=row.channel.team_id)
            count += 1
    if count:
        transaction.on_commit(wake, robust=True)
    return count
