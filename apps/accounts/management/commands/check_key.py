from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from apps.accounts.credentials import OAUTH_PREFIX, PREFIX, REFRESH_PREFIX, is_issued

_KINDS = {PREFIX: "a key", OAUTH_PREFIX: "an OAuth access token", REFRESH_PREFIX: "a refresh token"}


class Command(BaseCommand):
    help = (
        "Tells of each line of standard input whether it has the form of a ChatVault credential. "
        "Asks no database, and never repeats what it read."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Exits with 1 when a line is none of ours, or is mistyped."""
        are_all_ours = True
        for number, line in enumerate(sys.stdin, start=1):
            verdict, is_ours = _judge(line.strip())
            are_all_ours &= is_ours
            self.stdout.write(f"line {number}: {verdict}")
        if not are_all_ours:
            sys.exit(1)


def _judge(text: str) -> tuple[str, bool]:
    for prefix in (OAUTH_PREFIX, REFRESH_PREFIX, PREFIX):
        if text.startswith(prefix):
            if is_issued(text, prefix):
                return f"{_KINDS[prefix]}, whole", True
            return f"begins like {_KINDS[prefix]}, but its length or checksum is wrong", False
    return "not of ChatVault's making", False
