import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Max

from apps.audit import trail
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
            "--accept",
            default="",
            metavar="REASON",
            help="Says of doubts about the head so far that they are explained; in the trail.",
        )

    def handle(
        self, *args: Any, from_id: int = 1, expect: str = "", accept: str = "", **options: Any
    ) -> None:
        if accept:
            until = AuditEvent.objects.aggregate(top=Max("id"))["top"] or 0
            trail.record(ACCEPTED, after={"until": until, "reason": accept})
        report = verify(from_id=from_id, progress=self._progress)
        if expect:
            _compare(report, expect)
        self._tell(report)
        if report.findings:
            sys.exit(1)

    def _progress(self, done: int, total: int) -> None:
        if total >= 100_000 and self.stderr.isatty():
            self.stderr.write(f"\r{done:,} of {total:,} events", ending="")
            if done == total:
                self.stderr.write("")

    def _tell(self, report: Report) -> None:
        verdict = f"{report.findings:,} FOUND" if report.findings else "all as it was written"
        self.stdout.write(f"{report.checked:,} events checked: {verdict}")
        if report.checked:
            self.stdout.write(f"from {report.first_id} to {report.last_id}, hash {report.hash}")
        if report.accepted:
            self.stdout.write(f"{report.accepted:,} findings were accepted before")
        for example in report.examples:
            self.stdout.write(f"    {example}")


def _compare(report: Report, expect: str) -> None:
    number, _, known = expect.partition(":")
    if not number.isdigit() or len(known) < 32:
        raise CommandError("Write --expect as ID:HASH with at least 32 digits of the hash.")
    found = AuditEvent.objects.filter(id=int(number)).values_list("hash", flat=True).first()
    if found is None:
        report.find(f"Event {int(number):,} is missing.")
    elif not found.startswith(known):
        report.find(f"Event {int(number):,} has another hash than expected.")
