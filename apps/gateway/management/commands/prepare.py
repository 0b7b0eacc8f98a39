"""`manage.py prepare`: checked, migrated and set up, for a job before a roll-out."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from chatvault.supervisor.main import prepare


class Command(BaseCommand):
    help = "Check, migrate and do the first run, then end. Running it again changes nothing."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(prepare())
