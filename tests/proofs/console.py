"""`python -m tests.proofs.console`: a process of an installation that does what it is asked.

One JSON list a line comes in, `[verb, argument, …]`; one JSON value a line goes out.
"""

import json
import random
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import django

django.setup()

from django.db.models import F  # noqa: E402

from apps.configuration import job_queue, timetable  # noqa: E402
from apps.configuration.jobs import RUN_HEADER  # noqa: E402
from apps.configuration.models import JobRun  # noqa: E402
from apps.usage import rollups  # noqa: E402
from apps.usage.models import HourlyRollup, RequestLog  # noqa: E402
from apps.usage.verify import verify  # noqa: E402
from chatvault.beat import TIMETABLE  # noqa: E402
from chatvault.celery import app  # noqa: E402
from chatvault.lib import clock, ids  # noqa: E402
from chatvault.lib.timetable import Every  # noqa: E402

_HOUR: Final = timedelta(hours=1)
_ROLL_UP_HOUR: Final = "apps.usage.tasks.roll_up_hour"


def seed(hours: int, rows: int) -> int:
    """Requests of the last hours that have closed, with their sums; returns how many."""
    end = clock.now().replace(minute=0, second=0, microsecond=0)
    made = [
        _request(end - (hour + 1) * _HOUR + timedelta(seconds=row), row)
        for hour in range(hours)
        for row in range(rows)
    ]
    RequestLog.objects.bulk_create(made, batch_size=500)
    rollups.recompute(end - hours * _HOUR, end)
    return len(made)


def _request(at: datetime, number: int) -> RequestLog:
    return RequestLog(
        request_id=ids.uuid7(), started_at=at, team_id=1, client_id=number % 7, key_id=1,
        alias=f"model-{number % 5}", operation="chat", outcome="ok", http_status=200,
        usage_source="provider", input_tokens=10 + number, output_tokens=number % 11,
        cost_nano=100 * number, charged_nano=100 * number, revision=1, latency_ms=number % 900,
        attempts=1,
    )  # fmt: skip


def spoil(every: int) -> int:
    """Make the sums of every n-th hour wrong; returns how many hours are wrong now."""
    hours = HourlyRollup.objects.order_by("hour").values_list("hour", flat=True).distinct()
    chosen = list(hours)[::every]
    HourlyRollup.objects.filter(hour__in=chosen).update(requests=F("requests") + 1)
    return len(wrong_hours())


def wrong_hours() -> list[str]:
    """Hours whose sums are not those of their rows."""
    names = [field.name for field in HourlyRollup._meta.fields if field.name != "id"]
    hours = HourlyRollup.objects.order_by("hour").values_list("hour", flat=True).distinct()
    wrong = []
    for hour in hours:
        kept = sorted(HourlyRollup.objects.filter(hour=hour).values_list(*names))
        right = sorted(
            tuple(getattr(row, name) for name in names)
            for row in rollups.made_of(rollups.KINDS[0], hour)
        )
        if kept != right:
            wrong.append(hour.isoformat())
    return wrong


def differences() -> int:
    """What `verify_ledger` says of the sums."""
    return sum(each.differences for each in verify() if "rollups" in each.name)


def enqueue(name: str) -> int:
    row = job_queue.enqueue(name, TIMETABLE[name].task)
    return row.pk if row else 0


def shuffle_in(hours: int, times: int, seed: int) -> int:
    """One row for each of the last hours, its message so many times, all in a mixed order."""
    end = clock.now().replace(minute=0, second=0, microsecond=0)
    rows = []
    for number in range(hours):
        arguments = {"hour": (end - (number + 1) * _HOUR).isoformat()}
        row = job_queue.enqueue("roll-up-hour", _ROLL_UP_HOUR, arguments)
        rows.append(row)
    messages = [row for row in rows for _ in range(times - 1)]  # one went out already
    random.Random(seed).shuffle(messages)
    for row in messages:
        headers = {RUN_HEADER: row.pk}
        app.send_task(row.task, kwargs=row.arguments, headers=headers)
    return len(rows) * times


def look() -> dict[str, int]:
    """What `look-after-jobs` does every minute."""
    return job_queue.recover()


def forget() -> int:
    """As if no job had ever run: sums are then recomputed for a whole week."""
    return JobRun.objects.all().delete()[0]


def runs(name: str) -> list[list[Any]]:
    rows = JobRun.objects.order_by("pk").filter(name=name)
    return [list(row) for row in rows.values_list("state", "attempt", "worker", "error_message")]


def counts() -> dict[str, int]:
    found: dict[str, int] = {}
    for state in JobRun.objects.values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def age(seconds: int) -> int:
    """As if what waits had been sent so long ago."""
    waiting = JobRun.objects.filter(state="queued")
    return waiting.update(sent_at=clock.now() - timedelta(seconds=seconds))


def every(name: str, seconds: int) -> str:
    """Another time for a job, as an admin gives it."""
    timetable.sync(TIMETABLE)
    row = timetable.PeriodicTask.objects.get(name=name)
    timetable.move(row=row, when=Every(seconds))
    return str(timetable.when_of(row))


VERBS: Final[dict[str, Callable[..., Any]]] = {
    verb.__name__: verb
    for verb in (
        seed, spoil, wrong_hours, differences, enqueue, shuffle_in, look, forget, runs,
        counts, age, every,
    )
}  # fmt: skip


def main() -> None:
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        print(json.dumps(VERBS[verb](*arguments)), flush=True)


if __name__ == "__main__":
    main()
