"""When keys were last used, written at most about once a minute each.

Calls to models are booked in batches, and the time of a key's last one goes with its batch. Who
counts the requests is an app above: it registers itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction

from apps.accounts.models import ApiKey
from chatvault.lib import clock

EVERY: Final = timedelta(minutes=1)
_MOST_KNOWN: Final = 100_000
_AT_ONCE: Final = 500  # keys in one statement

Count = Callable[[Mapping[int, datetime]], Mapping[int, int]]
"""By key id: how many requests there were since the moment."""


class _Known:
    """When this process wrote what was last used; and who counts requests."""

    def __init__(self) -> None:
        self.written: dict[int, datetime] = {}
        self.count: Count | None = None


_known: Final = _Known()


def due(used: Mapping[int, datetime]) -> dict[int, datetime]:
    """Of these uses those that are worth writing."""
    written = _known.written
    return {
        key: at
        for key, at in used.items()
        if key and (key not in written or at >= written[key] + EVERY)
    }


@transaction.atomic
def book(used: Mapping[int, datetime]) -> None:
    """Write uses. A row that somebody is changing is left for the next time, so that a batch
    never waits for a person."""
    keys = sorted(used)
    for begin in range(0, len(keys), _AT_ONCE):
        rows = ApiKey.objects.filter(pk__in=keys[begin : begin + _AT_ONCE]).order_by("pk")
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True)
        for key, last in rows.values_list("pk", "last_used_at"):
            if last is None or last <= used[key] - EVERY:
                ApiKey.objects.filter(pk=key).update(last_used_at=used[key])


def written(used: Mapping[int, datetime]) -> None:
    """What was booked has been committed."""
    if len(_known.written) > _MOST_KNOWN:
        _known.written.clear()
    _known.written.update(used)


def touch(key_id: int) -> None:
    """A key was used now, outside of calls to models."""
    used = due({key_id: clock.now()})
    if used:
        book(used)
        written(used)


def register(count: Count) -> None:
    _known.count = count


def requests_since(moments: Mapping[int, datetime]) -> Mapping[int, int]:
    """By key id, as far as the request log is kept; nothing where nobody counts."""
    if not moments or _known.count is None:
        return {}
    return _known.count(moments)


def rotated(keys: Sequence[ApiKey]) -> dict[int, datetime]:
    """Of these keys those that have a successor, with the moment of the rotation."""
    return {key.pk: key.rotated_at for key in keys if key.rotated_at is not None}
