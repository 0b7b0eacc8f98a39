"""The limits in Redis as processes with a database use them; nothing where there is no Redis."""

from __future__ import annotations

import logging
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from django.conf import settings
from django.db import transaction

from apps.billing import budget_windows
from apps.billing.budget_windows import Booked, Window
from apps.billing.limits.contract import BudgetLimit, QuotaLimit
from apps.billing.limits.periods import earlier_blocks, period_bounds
from apps.billing.limits.redis.address import Address, parse_address
from apps.billing.limits.redis.books import LimitsBooks, OtherEpoch, RedisError, client_of
from apps.billing.limits.redis.limits import LoadedBudget
from chatvault.lib import clock

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 0.5
_MOST_UNTOLD: Final = 20_000
_OF_A_READ: Final = 500
_REST_S: Final = 1.0  # after a failure nobody waits for Redis again for as long


class _Process:
    """This process's connection; another one after a fork. One instance, below."""

    books: LimitsBooks | None = None
    pid = 0
    failed_at = 0.0
    untold: list[tuple[str, bytes]] = []
    """Entries that are booked and still count in Redis: a later booking of their window would
    count them twice, so it takes them along."""


_process = _Process()


def address() -> Address:
    """Where Redis is, by the settings."""
    redis = settings.CHATVAULT.redis
    return parse_address(
        redis.url.get_secret_value(),
        mode=redis.mode,
        sentinels=redis.sentinels,
        service=redis.sentinel_service,
        ca_file=redis.tls_ca_file,
    )


def is_used() -> bool:
    return bool(settings.CHATVAULT.redis.is_used)


def new_books(timeout_s: float = _TIMEOUT_S) -> LimitsBooks:
    """A connection of the caller's own."""
    return LimitsBooks(client_of(address(), timeout_s=timeout_s), settings.CHATVAULT.redis.prefix)


def post(windows: Sequence[Booked], entries: Sequence[tuple[str, bytes]] = ()) -> None:
    """Tell Redis what was booked and which requests (owner, id) are part of it.

    Never raises: what Redis did not hear is told with the next post, or by the keeper; until then
    the requests count by their own entries, so no sum is wrong meanwhile.
    """
    if not is_used() or not (windows or entries):
        return
    books = _books()
    told = [*_process.untold, *entries] if _process.pid == os.getpid() else list(entries)
    try:
        if books is not None and books.look() is not None:
            books.post(windows, told)
            told = []
    except OtherEpoch:
        told = []  # it is built anew from what is booked
    except RedisError as error:
        _failed(error)
    _process.untold = told[-_MOST_UNTOLD:]


def post_after_commit(windows: Sequence[Booked]) -> None:
    """The same, once the running transaction has committed."""
    if is_used():
        transaction.on_commit(lambda: post(windows), robust=True)


def publish_news() -> None:
    """Wake gateways up: there are announcements in the database. They would look by themselves a
    moment later."""
    books = _books() if is_used() else None
    if books is None:
        return
    try:
        books.publish()
    except RedisError as error:
        _failed(error)


def held_in_redis(budgets: Sequence[BudgetLimit]) -> Mapping[int, int]:
    """What requests in flight hold, by budget id; nothing where Redis does not say."""
    books = _books()
    if books is None:
        return {}
    now_s = int(clock.wall_s())
    windows = []
    for budget in budgets:
        start_s, _ = period_bounds(budget.period, now_s)
        starts = [*earlier_blocks(budget.period, start_s), start_s]
        windows += [(budget.id, one) for one in starts]
    try:
        if books.look() is None:
            return {}
        sums = books.sums(windows)
    except (RedisError, OtherEpoch) as error:
        _failed(error)
        return {}
    held: dict[int, int] = defaultdict(int)
    for (budget_id, _), known in sums.items():
        held[budget_id] += known.held_nano
    return held


def used_in_redis(quotas: Sequence[QuotaLimit]) -> Mapping[int, int] | None:
    """What quotas count now; None where Redis does not say."""
    books = _books()
    if books is None:
        return None
    try:
        if books.look() is None:
            return None
        found: dict[int, int] = {}
        for start in range(0, len(quotas), _OF_A_READ):
            found |= books.used(quotas[start : start + _OF_A_READ])
    except RedisError as error:
        _failed(error)
        return None
    return found


def loaded(budget_ids: Iterable[int] | None = None) -> list[LoadedBudget]:
    """What the ledger says of these budgets now; of all that have spent something, if None.

    Read in one transaction that sees one instant (`usage.restore.one_view`).
    """
    at_s = int(clock.wall_s())
    windows = {
        scope: budget_windows.windows_of(scope, at_s)
        for scope in budget_windows.scopes_of(budget_ids)
    }
    if budget_ids is None:
        keys = ((one.scope.budget_id, one.start_s) for each in windows.values() for one in each)
        known = {row.budget_id for row in budget_windows.booked(keys)}
        windows = {scope: each for scope, each in windows.items() if scope.budget_id in known}
    sums = budget_windows.settled([one for each in windows.values() for one in each])
    return [_loaded(each, sums) for each in windows.values()]


def _loaded(windows: list[Window], sums: Mapping[tuple[int, int], Booked]) -> LoadedBudget:
    scope = windows[0].scope
    rows = [sums[scope.budget_id, one.start_s] for one in windows]
    told = tuple((row.start_s, row.settled_nano, row.booking) for row in rows)
    return LoadedBudget(scope.budget_id, scope.period, windows[0].start_s, told)


def _books() -> LimitsBooks | None:
    """None: it failed a moment ago."""
    if time.monotonic() - _process.failed_at < _REST_S and _process.failed_at:
        return None
    if _process.books is None or _process.pid != os.getpid():
        _process.books, _process.pid = new_books(), os.getpid()
    return _process.books


def _failed(error: Exception) -> None:
    log.debug("Redis was not told: %s", type(error).__name__)
    _process.failed_at = time.monotonic()
