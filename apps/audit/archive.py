"""Moving old events out of the database into files that still prove themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.db import connection, transaction

from apps.audit import chain, export, guard, trail
from apps.audit.models import AuditEvent
from apps.audit.verify import ARCHIVED, HASH_SHOWN, Report, verify
from chatvault.lib import databases

_AT_ONCE: Final = 5_000


class ArchiveRefused(Exception):
    """Nothing was removed. The text says why."""


def archive(path: Path, *, until: datetime) -> Report:
    """Events before `until` into a new file, and out of the database once the file was read back
    and found right. The newest event always stays. Raises ArchiveRefused or OSError."""
    report = verify()
    if report.findings:
        raise ArchiveRefused("The trail is not in order: see `manage.py verify_audit`.")
    last = AuditEvent.objects.filter(at__gte=until).order_by("id").first()
    bound = last.id - 1 if last is not None else report.last_id - 1
    events = AuditEvent.objects.filter(id__lte=bound)
    if not events.exists():
        raise ArchiveRefused("There are no events before that day.")
    _write(path, export.lines(events, "jsonl"))
    kept = check_files([path])
    if kept.findings or kept.last_id != bound or kept.checked != events.count():
        raise ArchiveRefused(f"{path} does not hold what was written to it.")
    with databases.as_owner(), transaction.atomic():
        trail.record(
            ARCHIVED,
            after={
                "until": bound,
                "hash": kept.hash[:HASH_SHOWN],
                "events": kept.checked,
                "file": path.name,
            },
        )
        guard.remove(connection)
        for first in range(kept.first_id, bound + 1, _AT_ONCE):
            end = min(first + _AT_ONCE, bound + 1)
            AuditEvent.objects.filter(id__gte=first, id__lt=end).delete()
        guard.install(connection)
    return kept


def check_files(paths: Iterable[Path]) -> Report:
    """Whether files hold events as they were written, one after another and without a gap."""
    report = Report()
    previous: str | None = None
    for row in _rows(paths):
        number = int(row["id"])
        if not report.checked:
            report.first_id = number
            previous = chain.START if number == 1 else None
        elif number != report.last_id + 1:
            report.find(f"Events {report.last_id + 1:,} to {number - 1:,} are missing.")
            previous = None
        if previous is not None and row["previous_hash"] != previous:
            report.find(f"Event {number:,} does not follow the one before it.")
        if chain.hash_of([row[name] for name in chain.COVERED]) != row["hash"]:
            report.find(f"Event {number:,} is not what was written.")
        report.checked += 1
        report.last_id, report.hash = number, row["hash"]
        previous = row["hash"]
    return report


def _rows(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        with path.open(encoding="ascii") as file:
            for line in file:
                yield json.loads(line)


def _write(path: Path, pieces: Iterable[str]) -> None:
    """A file of our own, on disk when this returns."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
