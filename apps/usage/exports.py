"""Exports that are made in the background: a part for each UTC day, then one file of all parts.

Parts that are finished are kept, so that a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.conf import settings
from django.db import transaction

from apps.accounts.principals import Principal
from apps.audit import trail
from apps.configuration import job_queue
from apps.usage.models import UsageExport
from apps.usage.reports.exporting.files import FORMATS, Format, assemble, joined
from apps.usage.reports.exporting.slices import Wanted, slices
from apps.usage.reports.query import NUMBERS, BadQuery, Dimension, Filters, Scope
from chatvault.lib import clock

TASK: Final = "apps.usage.tasks.make_export"
JOB: Final = "make-export"
LONGEST: Final = timedelta(days=400)
MOST_UNFINISHED: Final = 3  # of one author
_DAY: Final = timedelta(days=1)
Progress = Callable[[int, int], None]
State = UsageExport.State


def ask(
    who: Principal, *, form: str, start: datetime, end: datetime, filters: Filters, scope: Scope
) -> UsageExport:
    """Have a file made. Raises BadQuery for a span that is too long or for too many at once."""
    if end <= start:
        raise BadQuery("end", "The end must be after the start.")
    if end - start > LONGEST:
        raise BadQuery("end", "An export spans 400 days at most.")
    with transaction.atomic():
        if own(who).unfinished().count() >= MOST_UNFINISHED:
            raise BadQuery("format", f"{MOST_UNFINISHED} of your exports are being made: wait.")
        row = UsageExport.objects.create(
            format=form,
            starts_at=start,
            ends_at=end,
            filters={str(name): list(values) for name, values in filters.items()},
            team_ids=None if scope.team_ids is None else sorted(scope.team_ids),
            team_id=_only(scope.team_ids),
            only_client_id=scope.client_id,
            only_key_id=scope.key_id,
            only_user_id=scope.user_id,
            days_total=len(list(_days(start, end))),
            expires_at=clock.now() + timedelta(hours=settings.CHATVAULT.reports.exports_kept_h),
            **_author(who),
        )
        told = {"format": form, "from": start.isoformat(), "until": end.isoformat()}
        trail.record("usage_export.created", target=row, after=told | {"filters": row.filters})
        send(row)
    return row


def send(row: UsageExport) -> None:
    job_queue.enqueue(JOB, TASK, {"export": row.pk})


def _only(team_ids: frozenset[int] | None) -> int | None:
    return next(iter(team_ids)) if team_ids and len(team_ids) == 1 else None


def own(who: Principal) -> Any:
    """Those that somebody asked for."""
    author = _author(who)
    if who.kind == "person" or author["author_user_id"]:
        return UsageExport.objects.filter(author_user_id=author["author_user_id"])
    names = ("author_kind", "author_client_id", "author_key_id")
    return UsageExport.objects.filter(**{name: author[name] for name in names})


def _author(who: Principal) -> dict[str, Any]:
    return {
        "author_kind": who.kind,
        "author_name": who.name[:200],
        "author_user_id": who.user_id,
        "author_client_id": who.client_id,
        "author_key_id": who.key_id,
    }


def may_read(row: UsageExport, scope: Scope) -> bool:
    """Whether all that is in the file may still be seen by the one with this scope."""
    if scope.team_ids is not None and (
        row.team_ids is None or not scope.team_ids.issuperset(row.team_ids)
    ):
        return False
    return all(
        mine is None or mine == theirs
        for mine, theirs in (
            (scope.client_id, row.only_client_id),
            (scope.key_id, row.only_key_id),
            (scope.user_id, row.only_user_id),
        )
    )


def make(export_id: int, progress: Progress) -> None:
    """Make the parts that are missing, then the file. Doing it twice changes nothing."""
    row = UsageExport.objects.filter(pk=export_id).first()
    if row is None or row.state == State.DONE or row.expires_at <= clock.now():
        return
    UsageExport.objects.filter(pk=row.pk).update(state=State.RUNNING, problem="")
    form = FORMATS[row.format]
    folder = folder_of(row)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        _make_parts(row, form, folder, progress)
        _finish(row, form, folder)
    except OSError as problem:
        told = f"The file cannot be written: {problem.strerror or type(problem).__name__}."
        UsageExport.objects.filter(pk=row.pk).update(state=State.FAILED, problem=told)
        raise


def _make_parts(row: UsageExport, form: Format, folder: Path, progress: Progress) -> None:
    for number, (start, end) in enumerate(_days(row.starts_at, row.ends_at), start=1):
        if _part(folder, start) is None:
            _write_part(folder, _wanted(row, start, end), form)
        UsageExport.objects.filter(pk=row.pk).update(days_done=number)
        progress(number, row.days_total)


def _part(folder: Path, start: datetime) -> Path | None:
    """The finished part of a day; its name tells how many requests it has."""
    return next(folder.glob(f"{start:%Y%m%d}.*.part"), None)


def _write_part(folder: Path, wanted: Wanted, form: Format) -> None:
    """A part is there as a whole or not at all."""
    unfinished = folder / "part.unfinished"
    writer = form.make()
    with unfinished.open("wb") as file:
        if form.parts_are_files:
            file.write(writer.head())
        for chunk in joined(writer, slices(wanted, form.size)):
            file.write(chunk)
        if form.parts_are_files:
            file.write(writer.tail())
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / f"{wanted.start:%Y%m%d}.{writer.rows}.part")


def _finish(row: UsageExport, form: Format, folder: Path) -> None:
    found = [_part(folder, start) for start, _ in _days(row.starts_at, row.ends_at)]
    parts = [part for part in found if part is not None]
    whole = folder / "file.unfinished"
    with whole.open("wb") as file:
        assemble(form, parts, file)
        file.flush()
        os.fsync(file.fileno())
    whole.rename(file_of(row))
    with file_of(row).open("rb") as finished:
        digest = hashlib.file_digest(finished, "sha256").hexdigest()
    UsageExport.objects.filter(pk=row.pk).update(
        state=State.DONE,
        rows=sum(int(part.name.split(".")[1]) for part in parts),
        size_bytes=file_of(row).stat().st_size,
        sha256=digest,
        finished_at=clock.now(),
    )
    for part in parts:
        part.unlink(missing_ok=True)


def tend() -> None:
    """Go on with what was left unfinished, and remove what is kept no longer. Twice changes
    nothing."""
    for row in UsageExport.objects.over(clock.now()):
        shutil.rmtree(folder_of(row), ignore_errors=True)
        row.delete()
    for row in UsageExport.objects.unfinished():
        send(row)


def remove(row: UsageExport) -> None:
    """The file and its row, now."""
    with transaction.atomic():
        trail.record("usage_export.removed", target=row, before={"format": row.format})
        number = row.pk
        row.delete()
    shutil.rmtree(_folder(number), ignore_errors=True)


def folder_of(row: UsageExport) -> Path:
    return _folder(row.pk)


def _folder(number: int) -> Path:
    reports = settings.CHATVAULT.reports
    return (reports.exports_dir or settings.CHATVAULT.home / "exports") / str(int(number))


def file_of(row: UsageExport) -> Path:
    return folder_of(row) / "file"


def _wanted(row: UsageExport, start: datetime, end: datetime) -> Wanted:
    filters: dict[Dimension, tuple[int | str, ...]] = {}
    for name, values in row.filters.items():
        dimension = Dimension(name)
        filters[dimension] = tuple(
            int(value) if dimension in NUMBERS else str(value) for value in values
        )
    scope = Scope(
        team_ids=None if row.team_ids is None else frozenset(row.team_ids),
        client_id=row.only_client_id,
        key_id=row.only_key_id,
        user_id=row.only_user_id,
    )
    return Wanted(start, end, filters, scope)


def _days(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) cut at every midnight in UTC."""
    at, end = start.astimezone(UTC), end.astimezone(UTC)
    while at < end:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
        yield at, min(midnight, end)
        at = midnight


def opened(row: UsageExport) -> BinaryIO:
    """Raises FileNotFoundError where the file is not: another machine made it."""
    return file_of(row).open("rb")
