"""The timetable in the database: filled from the file, changed by admins, read by the beat.

The file owns names, tasks and purposes. An admin owns the time and whether a job is paused; a time
that no admin has changed follows the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from apps.audit import trail
from apps.configuration import job_queue
from chatvault.lib.timetable import Daily, Every, Job, When, read, write

_DEFAULT: Final = "chatvault_default"
_UNITS: Final = ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds"))


@transaction.atomic
def sync(jobs: Mapping[str, Job]) -> None:
    """Make the database's timetable that of the file, less what admins have changed."""
    rows = {row.name: row for row in PeriodicTask.objects.select_related("interval", "crontab")}
    for name, job in jobs.items():
        row = rows.pop(name, None) or PeriodicTask(name=name, enabled=True)
        before = _content(row)
        if row.pk is None or when_of(row) in (None, default_of(row)):
            place(row, job.when)
        row.task, row.description = job.task, job.purpose
        row.args, row.kwargs = "[]", "{}"
        row.headers = json.dumps({_DEFAULT: write(job.when)})
        row.expire_seconds = None if job.is_recorded else _pause_s(job.when)
        if row.pk is None or _content(row) != before:
            row.save()
    for row in rows.values():  # the file is the only source of names
        row.delete()


def when_of(row: PeriodicTask) -> When | None:
    """The job's time now; None for one that this timetable cannot say."""
    if row.interval is not None:
        sizes = {unit: size for size, unit in _UNITS}
        size = sizes.get(row.interval.period)
        return Every(row.interval.every * size) if size else None
    cron = row.crontab
    if cron is None or not (cron.minute.isdigit() and cron.hour.isdigit()):
        return None
    return Daily(int(cron.hour), int(cron.minute))


def default_of(row: PeriodicTask) -> When | None:
    """The time that the file gives the job."""
    try:
        told = json.loads(row.headers or "{}")
    except ValueError:
        return None
    return read(str(told.get(_DEFAULT, ""))) if isinstance(told, dict) else None


def is_changed(row: PeriodicTask) -> bool:
    """Whether an admin gave the job another time than the file."""
    return when_of(row) != default_of(row)


@transaction.atomic
def move(*, row: PeriodicTask, when: When) -> None:
    """Give the job this time; the beat follows within seconds."""
    before = str(when_of(row))
    place(row, when)
    row.save()
    trail.record("job.moved", target=row, before={"due": before}, after={"due": str(when)})


@transaction.atomic
def restore(*, row: PeriodicTask) -> bool:
    """The time of the file again, and not paused; False when it was so already."""
    default = default_of(row)
    if default is None or (row.enabled and not is_changed(row)):
        return False
    before = {"due": str(when_of(row)), "enabled": row.enabled}
    row.enabled = True
    place(row, default)
    row.save()
    after = {"due": str(default), "enabled": True}
    trail.record("job.restored", target=row, before=before, after=after)
    return True


@transaction.atomic
def pause(*, row: PeriodicTask, is_paused: bool) -> bool:
    """Stop or go on putting the job into the queue; False when it was so already."""
    if row.enabled is not is_paused:
        return False
    row.enabled = not is_paused
    row.save()
    trail.record("job.paused" if is_paused else "job.continued", target=row)
    return True


@transaction.atomic
def run_now(*, row: PeriodicTask) -> bool:
    """See that the job runs as soon as a worker is free; False when it waits for one already, or
    when it leaves no rows and the broker cannot be reached."""
    trail.record("job.run_now", target=row)
    if row.expire_seconds is not None:  # its runs are not recorded
        return job_queue.send_task(row.task, expires_s=row.expire_seconds)
    return job_queue.enqueue(row.name, row.task) is not None


def place(row: PeriodicTask, when: When) -> None:
    """Give the job this time; the caller saves it."""
    if isinstance(when, Every):
        every, unit = next((when.seconds // s, u) for s, u in _UNITS if when.seconds % s == 0)
        row.crontab = None
        row.interval, _ = IntervalSchedule.objects.get_or_create(every=every, period=unit)
        return
    times = {"minute": str(when.minute), "hour": str(when.hour), "timezone": "UTC"}
    anyday = dict.fromkeys(("day_of_month", "month_of_year", "day_of_week"), "*")
    row.interval = None
    row.crontab = CrontabSchedule.objects.filter(**times, **anyday).first()
    if row.crontab is None:
        row.crontab = CrontabSchedule.objects.create(**times, **anyday)


def _pause_s(when: When) -> int:
    return when.seconds if isinstance(when, Every) else 86_400


def _content(row: PeriodicTask) -> dict[str, Any]:
    names = ("task", "description", "args", "kwargs", "headers", "expire_seconds")
    places = {"interval": row.interval_id, "crontab": row.crontab_id}
    return {name: getattr(row, name) for name in names} | places
