import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Max

from apps.audit import trail
from apps.audit.archive import check_files
from apps.audit.models import AuditEvent
from apps.audit.verify import ACCEPTED, Report, verify


class Command(BaseCommand):
    help = (
        "Proves that no event of the audit trail was edited, removed or moved, and that none is "
        "missing at its end; exits 1 when not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--from", dest="from_id", type=int, default=1, metavar="ID")
        parser.add_argument(
            "--expect",
            default="",
            metavar="ID:HASH",
            help="An event's hash, or its first 32 digits, from where nobody could change it: a "
            "log, an export.",
        )
        parser.add_argument(
            "--archive",
            nargs="+",
            type=Path,
            default=(),
            metavar="FILE",
            help="Files of archive_audit or of an export, in their order, instead of the database.",
        )
        parser.add_argument(
            "--accept",
            default="",
            metavar="REASON",
            help="Says of doubts about the head so far that they are explained; in the trail.",
        )

    def handle(
        self,
        *args: Any,
        from_id: int = 1,
        expect: str = "",
        accept: str = "",
        archive: Sequence[Path] = (),
        **options: Any,
    ) -> None:
        if archive:
            self._tell_and_end(_of_files(archive))
            return
        if accept:
            until = AuditEvent.objects.aggregate(top=Max("id"))["top"] or 0
            trail.record(ACCEPTED, after={"until": until, "reason": accept})
        report = verify(from_id=from_id, progress=self._progress)
        if expect:
            _compare(report, expect)
        self._tell_and_end(report)

    def _progress(self, done: int, total: int) -> None:
        if total >= 100_000 and self.stderr.isatty():
            self.stderr.write(f"\r{done:,} of {total:,} events", ending="")
            if done == total:
                self.stderr.write("")

    def _tell_and_end(self, report: Report) -> None:
        verdict = f"{report.findings:,} FOUND" if report.findings else "all as it was written"
        self.stdout.write(f"{report.checked:,} events checked: {verdict}")
        if report.checked:
            self.stdout.write(f"from {report.first_id} to {report.last_id}, hash {report.hash}")
        if report.accepted:
            self.stdout.write(f"{report.accepted:,} findings were accepted before")
        for example in report.examples:
            self.stdout.write(f"    {example}")
        if report.findings:
            sys.exit(1)


def _of_files(paths: Sequence[Path]) -> Report:
    try:
        return check_files(paths)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise CommandError("A line of the file is no event.") from None


def _compare(report: Report, expect: str) -> None:
    number, _, known = expect.partition(":")
    if not number.isdigit() or len(known) < 32:
        raise CommandError("Write --expect as ID:HASH with at least 32 digits of the hash.")
    found = AuditEvent.objects.filter(id=int(number)).values_list("hash", flat=True).first()
    if found is None:
        report.find(f"Event {int(number):,} is missing.")
    elif not found.startswith(known):
        report.find(f"Event {int(number):,} has another hash than expected.")
