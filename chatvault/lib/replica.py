"""Reports may read from a replica; whoever writes or decides never does.

Only inside of `reading()` do the reports' models come from the replica, and only while it answers
and is not too far behind; else, and everywhere else, all comes from the primary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.db.models import Model
from django.db.utils import DEFAULT_DB_ALIAS
from django.http import HttpRequest
from django.template.response import SimpleTemplateResponse

from chatvault.lib import clock, tenancy
from chatvault.settings.database import OWNER, REPLICA

REPORTED: Final = (
    *("usage.requestlog", "usage.attempt", "usage.hourlyrollup", "billing.ledgerentry"),
    *("usage.summedday", "usage.dayrollup", "usage.sumview", "usage.keptsince"),
)
_P = ParamSpec("_P")
_R = TypeVar("_R")
_LOOK_S: Final = 1.0
_AWAY_S: Final = 10.0
_reading: ContextVar[bool] = ContextVar("reading_from_replica", default=False)


class ReportsRouter:
    """Django's router: what is read within `reading()` from the replica, all else as always."""

    def db_for_read(self, model: type[Model], **_: Any) -> str | None:
        return REPLICA if _reading.get() and model._meta.label_lower in REPORTED else None

    def db_for_write(self, model: type[Model], **_: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one: Model, other: Model, **_: Any) -> bool:
        return True

    def allow_migrate(self, db: str, app_label: str, **_: Any) -> bool | None:
        return None if db in (DEFAULT_DB_ALIAS, OWNER) else False


@contextmanager
def reading() -> Iterator[None]:
    """Read reports from the replica, if there is one that is fit for it."""
    token = _reading.set(_watch.is_fit())
    try:
        yield
    finally:
        _reading.reset(token)


def tolerant(view: Callable[_P, _R]) -> Callable[_P, _R]:
    """A page of reports: when the replica fails it is made from the primary. Only GET reads from
    the replica: what is posted may decide something."""

    @wraps(view)
    def read(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if not any(isinstance(one, HttpRequest) and one.method == "GET" for one in args):
            return view(*args, **kwargs)
        with reading():
            if _reading.get():
                try:
                    with tenancy.also_on(REPLICA):
                        return _rendered(view(*args, **kwargs))
                except (OperationalError, InterfaceError):
                    _watch.give_up()
        return view(*args, **kwargs)

    return read


def _rendered(response: _R) -> _R:
    """Templates ask for rows, too: let them do so before the context ends."""
    if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
        response.render()
    return response


class _Watch:
    """What this process knows of the replica.

    Positions in the log of the primary are taken down with their time; a replica that has replayed
    one that is young enough is fresh enough. No clock is compared with another machine's.
    """

    def __init__(self) -> None:
        self._positions: deque[tuple[float, int]] = deque(maxlen=256)
        self._next_look = 0.0
        self._is_fit = False

    def is_fit(self) -> bool:
        if REPLICA not in connections.settings:
            return False
        now = clock.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_S
            try:
                self._is_fit = self._look(now)
            except (OperationalError, InterfaceError):
                self.give_up()
        return self._is_fit

    def give_up(self) -> None:
        """For a while: pages must not wait for it again and again."""
        self._is_fit = False
        self._next_look = clock.monotonic() + _AWAY_S
        connections[REPLICA].close()

    def _look(self, now: float) -> bool:
        replayed = _number(REPLICA, "SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn")
        if replayed is None:
            return True  # not by streaming: how far it is behind is its operator's affair
        written = _number(DEFAULT_DB_ALIAS, "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        self._positions.append((now, written or 0))
        oldest = now - settings.CHATVAULT.database.replica_max_lag_s
        return any(at >= oldest and position <= replayed for at, position in self._positions)


def _number(alias: str, statement: str) -> int | None:
    connection = connections[alias]
    if not connection.in_atomic_block:  # which it would end by closing the connection
        connection.close_if_unusable_or_obsolete()
    with connection.cursor() as cursor:
        cursor.execute(statement)
        value = cursor.fetchone()[0]
    return None if value is None else int(value)


_watch: Final = _Watch()
