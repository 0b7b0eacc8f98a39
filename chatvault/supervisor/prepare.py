"""Everything that must be so before anything serves: checked, migrated, set up once."""

import time
from collections.abc import Callable
from pathlib import Path

from chatvault.progress import say
from chatvault.supervisor import database
from chatvault.supervisor.database import DatabaseAway

_LOOK_EVERY_S = 2.0
_SAY_EVERY_S = 30.0


def prepare(home: Path, url: str) -> None:
    """Idempotent, and safe on many nodes at once: one prepares, the others wait and find it done.

    Raises Refusal; DatabaseAway where the database does not answer.
    """
    from chatvault.first_run.run import first_run

    database.refuse_failed_checks()
    with database.only_one_prepares(home):
        database.migrate_when_needed()
        first_run(home=home, url=url)


def is_prepared() -> bool:
    """Whether somebody has migrated the database this far. Raises DatabaseAway."""
    database.refuse_failed_checks()
    return database.is_migrated()


def until_prepared(home: Path, url: str, *, itself: bool) -> Callable[[Callable[[], None]], int]:
    """A child's task: tries, or with `itself` False only looks, until all is prepared."""

    def task(ready: Callable[[], None]) -> int:
        said_at = float("-inf")
        while True:
            try:
                if itself:
                    prepare(home, url)
                    return 0
                if is_prepared():
                    return 0
                reason = "The database is not prepared yet: run `manage.py prepare`."
            except DatabaseAway as away:
                reason = str(away)
            finally:
                database.close()
            if time.monotonic() - said_at >= _SAY_EVERY_S:
                said_at = time.monotonic()
                say(f"{reason} Trying again.")
            time.sleep(_LOOK_EVERY_S)

    return task
