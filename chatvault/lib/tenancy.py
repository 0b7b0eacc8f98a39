"""Whose rows a session of PostgreSQL may see, where row-level security is on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connections, transaction
from django.db.utils import DEFAULT_DB_ALIAS

EVERYBODY = "*"


@contextmanager
def limited_to(team_ids: Iterable[int], *, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """In this block, which is a transaction, only rows of these teams exist; none for no team.

    Without row-level security nothing changes: our own filters are the first wall in any case.
    """
    if not settings.CHATVAULT.database.row_security:
        yield
        return
    named = ",".join(str(int(team_id)) for team_id in sorted(set(team_ids)))
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("SELECT current_setting('chatvault.team_ids', true)")
        before = cursor.fetchone()[0] or ""
        cursor.execute("SELECT set_config('chatvault.team_ids', %s, true)", [named])
        yield
        cursor.execute("SELECT set_config('chatvault.team_ids', %s, true)", [before])
