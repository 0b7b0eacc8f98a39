"""`manage.py serve`: everything that belongs to ChatVault, as one tree of processes."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from chatvault.supervisor.main import run


class Command(BaseCommand):
    help = "Serve ChatVault on HOST:PORT: gateway, admin, ingest, worker and beat."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(run())
