"""What becomes of a segment whose records are all in the database.

It is removed, or with `CHATVAULT_JOURNAL_KEEP_SHIPPED_H` kept in `shipped/` for so long: a
database that was restored from an older backup is brought up to date from there, since a record
that is shipped again changes nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from apps.usage.segments import list_segments
from chatvault.lib import clock

_FOLDER = "shipped"


def part_with(path: Path) -> None:
    """The segment leaves the journal."""
    keep_s = settings.CHATVAULT.journal.keep_shipped_h * 3600
    if not keep_s or not _is_kept(path):
        path.unlink(missing_ok=True)
        return
    room = settings.CHATVAULT.journal.cap_mib * 2**20
    for old in _to_forget(path.parent, keep_s, room):
        old.unlink(missing_ok=True)


def bring_back(directory: Path) -> int:
    """All that is kept goes back to the journal, to be shipped again; returns how many."""
    kept = list_segments(directory / _FOLDER)
    for path in kept:
        path.rename(directory / path.name)
    return len(kept)


def _is_kept(path: Path) -> bool:
    folder = path.parent / _FOLDER
    with contextlib.suppress(OSError):  # a disk that is too full to keep it is no reason to stop
        folder.mkdir(mode=0o700, exist_ok=True)
        os.utime(path)  # its age counts from now
        path.rename(folder / path.name)
        return True
    return False


def _to_forget(directory: Path, keep_s: float, room: int) -> Iterator[Path]:
    """What is too old; and the oldest while the disk has less room than the journal may need."""
    for path in list_segments(directory / _FOLDER):
        with contextlib.suppress(FileNotFoundError):
            age_s = clock.wall_s() - path.stat().st_mtime
            about = os.statvfs(directory)
            if age_s > keep_s or about.f_bavail * about.f_frsize < room:
                yield path
