"""Word of committed changes, for processes that keep what they know in memory.

An announcement is a row of the transaction that makes the change: it is seen with the change or
not at all. Topics: `configuration.revision` (subject: the revision's id), `accounts.key` (subject:
the stored digest; empty: every key) and `accounts.holder` (subject: `user:3`, `client:7`,
`team:1`, `application:5` or `session:9`, whose credentials are all to be asked for anew).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import transaction

from apps.configuration.models import Announcement
from chatvault.lib import clock
from chatvault.lib.writer import hold_writer

KEPT: Final = timedelta(days=1)
_PRUNE_EVERY: Final = 256


class Announced(NamedTuple):
    topic: str
    subject: str


class _Messenger:
    """One instance, below: who is told of commits, so that followers need not wait to look."""

    publish: Callable[[], None] | None = None


_messenger = _Messenger()


def register(publish: Callable[[], None] | None) -> None:
    """Call `publish` after every commit of announcements; what it raises is logged."""
    _messenger.publish = publish


def after_commit(topic: str, subject: str = "") -> None:
    """Tell everybody once the running transaction has committed."""
    with transaction.atomic():
        hold_writer()
        row = Announcement.objects.create(topic=topic, subject=subject)
        if row.pk % _PRUNE_EVERY == 0:
            prune()
        if _messenger.publish is not None:
            transaction.on_commit(_messenger.publish, robust=True)


def was_told(topic: str, *, since: datetime) -> bool:
    """Whether it was announced then or later; of the time that announcements are kept."""
    return Announcement.objects.filter(topic=topic, created_at__gte=since).exists()


def since(last_id: int) -> tuple[int, list[Announced]]:
    """Announcements after `last_id` in order, and the id to ask with next time."""
    rows = list(
        Announcement.objects.filter(pk__gt=last_id)
        .order_by("pk")
        .values_list("pk", "topic", "subject")
    )
    news = [Announced(topic, subject) for _, topic, subject in rows]
    return (rows[-1][0] if rows else last_id), news


def newest_id() -> int:
    """Where somebody who knows the present state begins to follow."""
    return Announcement.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def prune() -> None:
    """Forget announcements that every follower has long read."""
    Announcement.objects.filter(created_at__lt=clock.now() - KEPT).delete()
