"""How the connections of a process behave: by its role, and after a fork."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings
from django.db import connections
from django.db.utils import DEFAULT_DB_ALIAS

from chatvault.settings.database import OWNER, REPLICA, DatabaseSettings

_abandoned: Final[list[Any]] = []
"""Pools and connections that belong to the parent: kept, because to free one is to close it."""


def become(role: str) -> None:
    """Open connections from now on as this role does: its timeouts, its pool, its name.

    Call it before the first query of the process; what is open is closed. SQLite has no roles.
    """
    section: DatabaseSettings = settings.CHATVAULT.database
    if not section.is_server:
        return
    if role == "gateway" and "web" in settings.CHATVAULT.serving.roles:
        role = "pages"
    for alias in connections.settings:
        if alias == OWNER:
            continue
        close(alias)
        values = connections.settings[alias]
        values["OPTIONS"].pop("pool", None)
        own = values["URL_OPTIONS"]
        values["OPTIONS"] |= section.options(
            role,
            given=own["options"] or "",
            name=own["name"] or "",
            is_replica=alias == REPLICA,
        )


@contextmanager
def as_owner() -> Iterator[None]:
    """In this block the default connection of this thread is that of the role which owns the
    tables, where CHATVAULT_DATABASE_OWNER_URL names one."""
    if OWNER not in connections.settings:
        yield
        return
    before = connections[DEFAULT_DB_ALIAS]
    connections[DEFAULT_DB_ALIAS] = connections[OWNER]
    try:
        yield
    finally:
        connections[DEFAULT_DB_ALIAS] = before
        connections[OWNER].close()


def close(alias: str = DEFAULT_DB_ALIAS) -> None:
    """Let go of this thread's connection and of the pool behind it."""
    connection = connections[alias]
    connection.close()
    close_pool = getattr(connection, "close_pool", None)
    if close_pool is not None:
        close_pool()


def close_all() -> None:
    """Before a fork: what a child inherits it must not use."""
    for alias in connections.settings:
        close(alias)


def _abandon() -> None:
    """In a forked child. A socket that parent and child both use mixes up their answers, and to
    close it in the child says good-bye in the parent's name."""
    if not settings.configured:
        return
    for connection in connections.all(initialized_only=True):
        pools = getattr(type(connection), "_connection_pools", None)
        if pools:
            _abandoned.append(dict(pools))
            pools.clear()
        if connection.vendor == "postgresql" and connection.connection is not None:
            _abandoned.append(connection.connection)
            connection.connection = None
            connection.in_atomic_block = False
            connection.savepoint_ids = []
            connection.needs_rollback = False


os.register_at_fork(after_in_child=_abandon)
