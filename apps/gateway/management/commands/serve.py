"""`manage.py serve`: what belongs to ChatVault on this node, as one tree of processes."""

import sys
from argparse import REMAINDER, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from chatvault.supervisor.main import serve


class Command(BaseCommand):
    help = "Serve ChatVault on HOST:PORT: gateway, admin, ingest, worker and beat."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("rest", nargs=REMAINDER, help="--only ROLE,…: run these roles only")

    def handle(self, *args: Any, rest: list[str], **options: Any) -> None:
        sys.exit(serve(rest))
