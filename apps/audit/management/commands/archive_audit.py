from argparse import ArgumentParser
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_date

from apps.audit.archive import ArchiveRefused, archive


class Command(BaseCommand):
    help = (
        "Moves audit events before a day into a new file of JSON lines, once it was read back and "
        "found right. The chain goes on in the database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--until", required=True, metavar="YYYY-MM-DD", help="In UTC.")

    def handle(self, *args: Any, file: Path, until: str, **options: Any) -> None:
        day = _day(until)
        try:
            kept = archive(file, until=datetime.combine(day, time(), UTC))
        except ArchiveRefused as refused:
            raise CommandError(f"{refused} Nothing was removed.") from None
        except FileExistsError:
            raise CommandError("There is such a file already: name a new one.") from None
        except OSError as error:
            raise CommandError(f"The file cannot be written: {error.strerror}.") from None
        self.stdout.write(
            f"{kept.checked:,} events, {kept.first_id} to {kept.last_id}, hash {kept.hash}"
        )


def _day(text: str) -> Any:
    try:
        found = parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise CommandError("Write --until as YYYY-MM-DD.")
    return found
