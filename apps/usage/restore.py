"""What budgets have spent by the database and the journals together.

A gateway that keeps its limits in memory asks for it when it starts and when a budget is new.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import connection, transaction

from apps.billing import budget_windows
from apps.billing.budget_windows import Charge, Window
from apps.billing.limits import BudgetState
from apps.billing.models import LedgerEntry
from apps.providers.models import Deployment
from apps.usage.models import JournalCursor, OpenIntent
from apps.usage.open_requests import Closed, OpenRequest, OpenRequests
from apps.usage.reader import SegmentReader
from apps.usage.records import Tally
from apps.usage.segments import (
    has_writer,
    journal_id,
    list_segments,
    owner_of,
    stored_owner,
)
from chatvault.lib import clock

T = TypeVar("T")


class Pending(msgspec.Struct, frozen=True):
    """A request that a dead process left open, counted at the most it can cost."""

    request_id: bytes
    windows: tuple[tuple[int, int], ...]  # budget id and start of the window, in epoch seconds
    nano_usd: int


class Restored(msgspec.Struct, frozen=True):
    """What windows have spent, and what of it is only the most that it can be."""

    states: list[BudgetState]
    pending: list[Pending]


class _Books(msgspec.Struct):
    """What the database says at one instant."""

    settled: dict[Window, int]
    offsets: dict[str, int]  # by segment
    stored: list[tuple[str, bytes]]  # owner and records of open requests


class _Unbooked(msgspec.Struct):
    """What has no row yet, by request; those in `open` are not settled either."""

    charges: dict[bytes, Charge]
    open: set[bytes]


def budget_state(
    budget_ids: Iterable[int] | None = None, *, directory: Path | None = None
) -> list[BudgetState]:
    """The current window of every budget, or of these.

    Counts what is settled in the database, what is settled in the journals and not in the
    database yet, and requests that a dead process left open, at the most they can cost.
    """
    return restore_budgets(budget_ids, directory=directory).states


def restore_budgets(
    budget_ids: Iterable[int] | None = None, *, directory: Path | None = None
) -> Restored:
    """`budget_state`, and the requests in it whose cost is not known yet: `costs_of` tells."""
    directory = directory or settings.CHATVAULT.journal_dir
    wanted = list(budget_ids) if budget_ids is not None else None
    books, unbooked = over_journals(directory, lambda readers: _look(wanted, directory, readers))
    spent = dict(books.settled)
    windows = _by_scope(spent)
    pending = []
    for request_id, charge in unbooked.charges.items():
        touched = list(_windows_of(windows, charge))
        for window in touched:
            spent[window] += budget_windows.amount_of(charge, window.scope)
        held = [window for window in touched if window.scope.kind != "provider"]
        if request_id in unbooked.open and held:
            keys = tuple((window.scope.budget_id, window.start_s) for window in held)
            pending.append(Pending(request_id, keys, charge.nano_usd))
    states = [
        BudgetState(window.scope.budget_id, window.start_s, nano_usd)
        for window, nano_usd in spent.items()
    ]
    return Restored(states, pending)


def costs_of(request_ids: Iterable[bytes]) -> dict[bytes, int]:
    """What those that are booked were charged, in nano-USD."""
    found: dict[bytes, int] = {}
    ids = [UUID(bytes=request_id) for request_id in request_ids]
    charges = LedgerEntry.objects.filter(number=0, account=LedgerEntry.Account.CLIENT)
    for at in range(0, len(ids), 1000):
        booked = charges.filter(request_id__in=ids[at : at + 1000])
        for request_id, nano_usd in booked.values_list("request_id", "amount_nano"):
            found[request_id.bytes] = -nano_usd
    return found


@contextmanager
def one_view() -> Iterator[None]:
    """All reads inside see the database at one instant, and no writer waits for them."""
    if connection.in_atomic_block:  # the caller's transaction decides
        yield
    elif connection.vendor == "sqlite":
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")
    else:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield


def over_journals(directory: Path, read: Callable[[list[SegmentReader]], T]) -> T:
    """What `read` makes of the journals and the database, both as they are at one instant.

    Files are opened before the database is read, so that what ingest ships and removes in
    between is still readable; when a segment came or went meanwhile it is done again.
    """
    while True:
        paths = list_segments(directory)
        with ExitStack() as files:
            readers = _open_all(paths, files)
            if readers is None:
                continue
            with one_view():
                made = read(readers)
                if set(list_segments(directory)) <= set(paths):
                    return made


def _open_all(paths: list[Path], files: ExitStack) -> list[SegmentReader] | None:
    """None: one is gone already."""
    readers = []
    for path in paths:
        try:
            reader = SegmentReader(path)
        except FileNotFoundError:
            return None
        files.callback(reader.close)
        readers.append(reader)
    return readers


def _look(
    budget_ids: list[int] | None, directory: Path, readers: list[SegmentReader]
) -> tuple[_Books, _Unbooked]:
    books = _read_books(budget_ids, [reader.path.name for reader in readers], directory)
    return books, _without_booked(_unshipped(readers, books, directory))


def _read_books(budget_ids: list[int] | None, names: list[str], directory: Path) -> _Books:
    at_s = int(clock.wall_s())
    prefix = stored_owner(journal_id(directory), "") if directory.is_dir() else None
    windows = [
        window
        for scope in budget_windows.scopes_of(budget_ids)
        for window in budget_windows.windows_of(scope, at_s)
    ]
    sums = budget_windows.settled(windows)
    cursors = JournalCursor.objects.filter(segment__in=names)
    stored = OpenIntent.objects.filter(owner__startswith=prefix) if prefix else []
    return _Books(
        settled={
            window: sums[window.scope.budget_id, window.start_s].settled_nano for window in windows
        },
        offsets=dict(cursors.values_list("segment", "offset")),
        stored=[(one.owner.removeprefix(prefix or ""), bytes(one.record)) for one in stored],
    )


def _unshipped(readers: list[SegmentReader], books: _Books, directory: Path) -> _Unbooked:
    requests = OpenRequests()
    for owner, data in books.stored:
        requests.restore(owner, data)
    charges: dict[bytes, Charge] = {}
    called: dict[bytes, int] = {}  # the deployment that was
    still_open = set()
    for reader in readers:
        name = reader.path.name
        shipped = books.offsets.get(name, 0)
        for record in reader.records(is_final=True):
            if isinstance(record, Tally):
                continue
            known = requests.apply(record, owner_of(name))
            if type(known) is Closed and reader.offset > shipped:
                intent = known.request.intent
                charges[intent.request_id] = _charge(
                    known.request, known.settle.charged_nano, known.settle.cost_nano
                )
                called[intent.request_id] = known.settle.deployment_id
    newest = {owner_of(reader.path.name): reader.path for reader in readers}
    for owner in requests.owners():
        if owner in newest and has_writer(directory, newest[owner]):
            continue
        for request in requests.of_owner(owner):
            if request.starts:
                most = request.intent.reserved_nano
                charges[request.intent.request_id] = _charge(request, most, most)
                called[request.intent.request_id] = request.last_deployment
                still_open.add(request.intent.request_id)
    return _Unbooked(_with_providers(charges, called), still_open)


def _with_providers(charges: dict[bytes, Charge], called: dict[bytes, int]) -> dict[bytes, Charge]:
    """As the rows will have them: the provider of the deployment that was called."""
    known = Deployment.objects.filter(pk__in=set(called.values()))
    providers = dict(known.values_list("pk", "provider_id"))
    return {
        one: charge._replace(provider_id=providers.get(called[one], 0))
        for one, charge in charges.items()
    }


def _without_booked(unbooked: _Unbooked) -> _Unbooked:
    """A cursor that was set back, or a file that lost its end, shows requests again that are
    booked; what they cost is in the sums already."""
    booked = costs_of(unbooked.charges)
    charges = {one: charge for one, charge in unbooked.charges.items() if one not in booked}
    return _Unbooked(charges, unbooked.open)


def _charge(request: OpenRequest, nano_usd: int, cost_nano: int) -> Charge:
    intent = request.intent
    at_s = intent.at_ms // 1000
    return Charge(
        intent.team_id,
        intent.client_id,
        intent.key_id,
        at_s,
        nano_usd,
        intent.user_id,
        intent.alias,
        tags=intent.tags,
        cost_nano=cost_nano,
    )


def _by_scope(windows: Iterable[Window]) -> dict[tuple[str, int | str], list[Window]]:
    found: dict[tuple[str, int | str], list[Window]] = defaultdict(list)
    for window in windows:
        found[window.scope.kind, window.scope.target].append(window)
    return found


def _windows_of(
    windows: dict[tuple[str, int | str], list[Window]], charge: Charge
) -> Iterator[Window]:
    for target in budget_windows.targets_of(charge):
        for window in windows.get(target, ()):
            if window.start_s <= charge.at_s < window.end_s:
                yield window
