from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from apps.usage import row_security


class Command(BaseCommand):
    help = "PostgreSQL: lets a session see only the rows of the teams that it names."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("on", "off", "status"))

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("Row-level security needs PostgreSQL: set DATABASE_URL.")
        if action == "on" and not settings.CHATVAULT.database.row_security:
            raise CommandError(
                "Set CHATVAULT_DATABASE_ROW_SECURITY=true on every node and restart them first: "
                "sessions of nodes without it would see nothing."
            )
        if action == "on":
            row_security.switch_on()
        elif action == "off":
            row_security.switch_off()
        found = row_security.protected()
        self.stdout.write(f"{len(found)} of {len(row_security.POLICIES)} tables are protected.")
