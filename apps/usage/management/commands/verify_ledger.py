import sys
from typing import Any

from django.core.management.base import BaseCommand

from apps.usage.verify import verify


class Command(BaseCommand):
    help = "Proves that request rows, ledger, rollups and budgets agree; exits 1 when not."

    def handle(self, *args: Any, **options: Any) -> None:
        findings = verify()
        for finding in findings:
            verdict = "ok" if not finding.differences else f"{finding.differences} DIFFER"
            self.stdout.write(f"{finding.name}: {finding.checked} checked, {verdict}")
            for example in finding.examples:
                self.stdout.write(f"    {example}")
        if any(finding.differences for finding in findings):
            sys.exit(1)
