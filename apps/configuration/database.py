"""Is there a database that documents can be applied to?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import OperationalError

_MEMORY: Final = re.compile(r":memory:|[?&]mode=memory")


class Unprepared(Exception):
    """Why there is no database to work with, and how to mend it, in one sentence."""


def require_prepared() -> None:
    """Raises Unprepared unless the database is there and migrated. Makes no file: SQLite would."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite" and not _MEMORY.search(name) and not Path(name).is_file():
        raise Unprepared(
            f"There is no database at {name}: set CHATVAULT_HOME to the server's state folder, or "
            "start the server once."
        )
    try:
        executor = MigrationExecutor(connection)
        is_behind = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except OperationalError as error:
        raise Unprepared(
            f"The database cannot be used ({str(error).strip().splitlines()[0]}): "
            "check CHATVAULT_HOME, DATABASE_URL and that it is running."
        ) from None
    if is_behind:
        raise Unprepared(
            "The database is not migrated to this version of ChatVault: start the server once, or "
            "run `manage.py migrate`."
        )
