from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from apps.usage.models import RequestLog
from apps.usage.sample import loading, world
from apps.usage.sample.loading import Order
from apps.usage.sample.traffic import Trace
from chatvault.lib import clock


class Command(BaseCommand):
    help = (
        "Fill the request log with made-up requests of made-up teams, with their calls, ledger "
        "and sums, to measure and to look at reports. For an empty installation only."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rows", type=_count, default=100_000, help="How many requests.")
        parser.add_argument("--days", type=_days, default=90, help="Over how many whole days.")
        parser.add_argument("--seed", type=int, default=1, help="The same seed, the same requests.")
        parser.add_argument(
            "--until", type=_day, help="The UTC day after the last one, such as 2026-05-01: today."
        )
        parser.add_argument(
            "--trace",
            type=Path,
            help="A CSV with TIMESTAMP, ContextTokens, GeneratedTokens to draw sizes from, such as "
            "those of the Azure Public Dataset.",
        )
        parser.add_argument(
            "--into-used-database",
            action="store_true",
            help="Also where there are real requests: reports will mix them.",
        )

    def handle(self, *, rows: int, days: int, seed: int, **options: Any) -> None:
        if not options["into_used_database"] and _is_used():
            raise CommandError(
                "The request log holds real requests. Made-up ones would be in every report: "
                "use another database, or say --into-used-database."
            )
        trace = _trace(options["trace"]) if options["trace"] else None
        order = Order(rows, days, seed, options["until"] or clock.now(), trace)
        made = loading.load(world.make(), order, self.stdout.write)
        self.stdout.write(f"{made:,} requests are there. `manage.py verify_ledger` checks them.")


def _is_used() -> bool:
    """Whether somebody else than a made-up client has asked for anything."""
    ours = Q(client_name__startswith=f"{world.PREFIX}-")
    return RequestLog.objects.exclude(ours).exists()


def _trace(path: Path) -> Trace:
    try:
        return Trace.read(path)
    except (OSError, ValueError) as problem:
        raise CommandError(f"The trace cannot be read: {problem}") from None


def _count(text: str) -> int:
    return _within(text, 1, 1_000_000_000)


def _days(text: str) -> int:
    return _within(text, 1, 3_660)


def _within(text: str, least: int, most: int) -> int:
    number = int(text.replace("_", ""))
    if not least <= number <= most:
        raise ValueError
    return number


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
