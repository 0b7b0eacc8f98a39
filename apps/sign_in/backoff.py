"""Who failed too often waits, twice as long each time: per account and per address (S13).

An attempt is counted before it is tried and taken back when it succeeds, so that any number of
attempts at once gets no further than as many one after the other. The count is a row: all
processes share it, and it survives a restart. An account that does not exist is counted like one
that does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import F

from apps.audit import trail
from apps.sign_in.models import FailedSignIns
from chatvault.lib import clock
from chatvault.lib.addresses import counted_as
from chatvault.lib.writer import hold_writer

_KEEP: Final = timedelta(days=30)
Subject = tuple[str, str]


def subjects(account: str, address: str | None) -> list[Subject]:
    """Whom an attempt counts for, in a fixed order: rows are locked in it."""
    found: list[Subject] = [(FailedSignIns.Kind.ACCOUNT, account.strip().casefold()[:150])]
    if address:
        found.append((FailedSignIns.Kind.ADDRESS, counted_as(address)))
    return found


@transaction.atomic
def begin(of: Iterable[Subject]) -> bool:
    """Count one attempt. False: it is not to be tried now."""
    hold_writer()
    now = clock.now()
    rows = [_row(kind, subject, now) for kind, subject in of]
    if any(row.locked_until is not None and row.locked_until > now for row in rows):
        return False
    for row in rows:
        row.failures += 1
        row.locked_until = _until(row, now)
        row.last_at = now
        row.save(update_fields=["failures", "locked_until", "last_at"])
        if row.locked_until is not None:
            trail.record(
                "sign_in.locked",
                target=row,
                after={"failures": row.failures, "until": row.locked_until.isoformat()},
            )
    return True


@transaction.atomic
def succeeded(of: Iterable[Subject]) -> None:
    """The attempt that was begun is no failure; the account starts anew, the address does not:
    whoever has an account of their own could else try others without an end."""
    for kind, subject in of:
        mine = FailedSignIns.objects.filter(kind=kind, digest=_digest(subject))
        if kind == FailedSignIns.Kind.ACCOUNT:
            mine.delete()
        else:
            mine.filter(failures__gt=0).update(failures=F("failures") - 1, locked_until=None)


def lift(rows: Iterable[FailedSignIns]) -> int:
    """Let them try again now; how many there were."""
    count = 0
    for row in rows:
        with transaction.atomic():
            trail.record("sign_in.unlocked", target=row, before={"failures": row.failures})
            row.delete()
        count += 1
    return count


def forget_old() -> int:
    """Remove what no longer counts."""
    return FailedSignIns.objects.filter(last_at__lt=clock.now() - _KEEP).delete()[0]


def _row(kind: str, subject: str, now: datetime) -> FailedSignIns:
    row, is_new = FailedSignIns.objects.select_for_update().get_or_create(
        kind=kind,
        digest=_digest(subject),
        defaults={"subject": subject[:150], "first_at": now, "last_at": now},
    )
    limits = settings.CHATVAULT.sign_in
    is_account = kind == FailedSignIns.Kind.ACCOUNT
    after_s = (
        limits.forget_failures_after_s if is_account else limits.forget_failures_of_address_after_s
    )
    if not is_new and row.last_at < now - timedelta(seconds=after_s):
        row.failures, row.locked_until, row.first_at = 0, None, now
    return row


def _until(row: FailedSignIns, now: datetime) -> datetime | None:
    limits = settings.CHATVAULT.sign_in
    is_account = row.kind == FailedSignIns.Kind.ACCOUNT
    free = limits.failures_before_lock if is_account else limits.failures_of_address_before_lock
    beyond = row.failures - free
    if beyond < 0:
        return None
    wait_s = min(limits.first_lock_s * 2.0 ** min(beyond, 40), limits.longest_lock_s)
    return now + timedelta(seconds=wait_s)


def _digest(subject: str) -> str:
    return hashlib.sha256(subject.encode("utf-8", "replace")).hexdigest()
