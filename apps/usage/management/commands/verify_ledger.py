import json
import sys
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.usage.verify import ALL, verify


class Command(BaseCommand):
    help = "Proves that request rows, ledger, rollups and budgets agree; exits 1 when not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--formula",
            nargs="?",
            const="all",
            default="0",
            metavar="COUNT",
            help="Compute the cost of so many requests again from price version, terms and counts; "
            "without a number of all of them.",
        )
        parser.add_argument(
            "--json", action="store_true", help="Write one JSON document instead of lines."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        findings = verify(formula=_count(options["formula"]))
        is_clean = not any(finding.differences for finding in findings)
        if options["json"]:
            told = {"clean": is_clean, "findings": msgspec.to_builtins(findings)}
            self.stdout.write(json.dumps(told, indent=2))
        for finding in [] if options["json"] else findings:
            verdict = "ok" if not finding.differences else f"{finding.differences} DIFFER"
            note = f" ({finding.note})" if finding.note else ""
            self.stdout.write(f"{finding.name}: {finding.checked} checked, {verdict}{note}")
            for example in finding.examples:
                self.stdout.write(f"    {example}")
        if not is_clean:
            sys.exit(1)


def _count(text: str) -> int:
    if text == "all":
        return ALL
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise CommandError("--formula takes a count of requests, or nothing for all of them.")
    return int(text)
