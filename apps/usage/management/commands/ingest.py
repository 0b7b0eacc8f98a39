import os
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from apps.usage import shipped
from apps.usage.follow import Follower
from apps.usage.ingest import take_lock
from apps.usage.segments import prepare
from chatvault.lib.errors import JournalUnavailable

_BUSY = "Another ingest already follows this journal folder."
_RETRY_S = 0.5


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _kept_limits(directory: Path, stop: threading.Event, *, is_wanted: bool) -> Iterator[None]:
    """Where limits are in Redis, they are looked after until the end of ingest."""
    if not (is_wanted and settings.CHATVAULT.redis.is_used):
        yield
        return
    from apps.usage.limits_keeper import LimitsKeeper

    keeper = threading.Thread(target=LimitsKeeper(directory, stop).run, name="limits", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        keeper.join(timeout=5.0)


class Command(BaseCommand):
    help = "Moves what gateways write to their journals into the database, exactly once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="Ship what is there, then exit.")
        parser.add_argument(
            "--again",
            action="store_true",
            help="Ship the kept segments again too: after the database was restored.",
        )

    def handle(self, *args: Any, once: bool, again: bool, **options: Any) -> None:
        directory: Path = settings.CHATVAULT.journal_dir
        try:
            prepare(directory)
        except JournalUnavailable as error:
            raise CommandError(error.message) from None
        stop = threading.Event()
        with _stopped_by_signals(stop):
            lock = self._wait_for_lock(directory, stop, once=once)
            if lock is None:
                return
            try:
                if again:
                    self.stdout.write(f"{shipped.bring_back(directory)} kept segments come again.")
                with _kept_limits(directory, stop, is_wanted=not once):
                    self._run(Follower(directory, stop), once=once)
            finally:
                os.close(lock)

    def _run(self, follower: Follower, *, once: bool) -> None:
        if not once:
            follower.run()
            return
        try:
            count = follower.run_once()
        except Error as error:
            raise CommandError(f"The database refused: {type(error).__name__}.") from error
        self.stdout.write(f"{count} requests shipped.")

    def _wait_for_lock(self, directory: Path, stop: threading.Event, *, once: bool) -> int | None:
        """None: stopped while waiting. Raises CommandError when `once` cannot have it."""
        lock = take_lock(directory)
        if lock is None and once:
            raise CommandError(_BUSY)
        if lock is None:
            self.stderr.write(f"{_BUSY} This one waits and takes over when the other ends.")
        while lock is None and not stop.wait(_RETRY_S):
            lock = take_lock(directory)
        return lock
