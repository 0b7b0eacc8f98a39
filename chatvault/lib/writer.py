"""One writer of what has an order at a time: configuration, announcements, audit trail."""

from __future__ import annotations

from typing import Final

from django.db import connection

_WRITER: Final = 0x63_76_63_66  # an advisory lock of our own


def hold_writer() -> None:
    """Until the running transaction ends nobody else announces or records.

    Ids are then handed out in the order of commits, and readers that remember the last id that
    they saw miss none. SQLite has one writer anyhow.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_WRITER])
