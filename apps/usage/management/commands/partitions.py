from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.usage import partitions


class Command(BaseCommand):
    help = "PostgreSQL: lists the daily partitions with rows (estimated) and size."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--ensure", action="store_true", help="First make what is missing, as the job does."
        )

    def handle(self, *args: Any, ensure: bool, **options: Any) -> None:
        if not partitions.are_used():
            raise CommandError("Only PostgreSQL has partitions: set DATABASE_URL.")
        if ensure:
            self.stdout.write(f"{len(partitions.ensure())} made.")
        for one in partitions.listing():
            days = "rows of no other" if one.is_default else f"{one.start or 'all'} to {one.end}"
            size_mib = one.size_bytes / 2**20
            self.stdout.write(f"{one.name:32} {days:26} {one.rows:12,} {size_mib:10,.1f} MiB")
