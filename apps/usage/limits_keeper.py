"""Sees to it that Redis says of budgets what the ledger and the journals say.

One a node, beside ingest. Redis is a cache: when it is empty, another server, or another run of
it, the next *epoch* is built from the ledger, and requests with a budget wait until every node and
every gateway process has said what it holds. Sums are set, never added to.
"""

from __future__ import annotations

import logging
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from django.db import DatabaseError, connection, transaction

from apps.billing import shared_limits
from apps.billing.budget_windows import Booked
from apps.billing.limits.redis.books import LimitsBooks, OtherEpoch, RedisError
from apps.billing.models import Counter, GatewayNode
from apps.billing.models.shared import ALIVE_FOR
from apps.usage.follow import IngestStatus, read_status
from apps.usage.restore import costs_of, one_view
from apps.usage.segments import has_writer, journal_id, list_segments, owner_of, stored_owner
from apps.usage.unbooked import unbooked
from chatvault.lib import clock

log = logging.getLogger(__name__)

LOOK_S: Final = 0.2
_BEAT_S: Final = 5.0
_TIDY_S: Final = 2.0
_AUDIT_S: Final = 10.0
_BUILD_S: Final = 10.0
_OLD_S: Final = 10.0
_MOST_LOOKED_AT: Final = 1000
_MOST_AUDITED: Final = 5000
NODE, OWNER = "node:", "owner:"


class LimitsStatus(msgspec.Struct):
    """How the limits in Redis are doing, as this node's keeper sees it."""

    at_s: float = 0.0
    epoch: int = 0
    is_well: bool = False  # reachable, current, nobody awaited
    entries: int = 0  # requests in flight or not booked yet, of all nodes
    corrected: int = 0  # sums that were wrong, since the start
    tidied: int = 0  # entries whose end Redis had not heard of, since the start
    built: int = 0  # epochs, by this keeper
    problem: str = ""
    warnings: list[str] = []


class LimitsKeeper:
    """`run` it in a thread of its own; it never gives up."""

    def __init__(self, directory: Path, stop: threading.Event) -> None:
        self._directory = directory
        self._stop = stop
        self._journal = journal_id(directory)
        self._due: dict[str, float] = {}
        self._books: LimitsBooks | None = None
        self._old_s = float(
            "-inf"
        )  # at first all: an ingest that was killed may not have told the latest
        self.status = LimitsStatus()

    def run(self) -> None:
        """Until `stop` is set."""
        while not self._stop.wait(LOOK_S):
            self.look()
            self._tell()
        if self._books is not None:
            self._books.close()
        connection.close()

    def look(self) -> None:
        """One look, whatever is away."""
        try:
            if self._books is None:
                self._books = shared_limits.new_books()
            self._look(self._books)
        except RedisError as error:
            self._problem("Redis", error)
            self._due.pop("tidy", None)  # first of all, when it is back
        except OtherEpoch:
            log.debug("another node builds the limits in Redis")
        except DatabaseError as error:
            connection.close()
            self._problem("the database", error)

    def _look(self, books: LimitsBooks) -> None:
        if self._is_due("beat", _BEAT_S):
            beat(self._journal, read_status(self._directory))
        epoch = books.look()
        if epoch is None or not epoch.is_current:
            self._build(books)
            epoch = books.look()
        elif epoch.is_awaiting:
            self._join(books)
        if self._is_due("tidy", _TIDY_S):
            self._tidy(books)
        if self._is_due("audit", _AUDIT_S):
            self._audit(books)
        self.status.is_well = epoch is not None and epoch.is_current and not epoch.is_awaiting
        self.status.epoch = epoch.number if epoch is not None else 0
        self.status.problem = ""

    def _build(self, books: LimitsBooks) -> None:
        if not build_epoch(books, self._journal):
            return
        self.status.built += 1
        self._join(books)

    def _join(self, books: LimitsBooks) -> None:
        """Say what this node holds, and see who is awaited in vain."""
        awaited = books.awaited()
        own = NODE + self._journal
        if own in awaited:
            told = unbooked(self._directory)
            books.load(told.budgets)
            books.announce(told.held)
            books.join(own, [OWNER + writer for writer in told.writers])
            awaited = books.awaited()
        living = {
            NODE + one
            for one in GatewayNode.objects.filter(
                last_seen_at__gt=clock.now() - ALIVE_FOR
            ).values_list("pk", flat=True)
        }
        for member in awaited:
            node = NODE + member.partition(":")[2].partition("/")[0]
            if node == own and member != own:
                is_gone = not self._is_writing(member.rpartition("/")[2])
            else:
                is_gone = node not in living
            if is_gone:
                log.warning("nothing is heard of %s: its reservations are not counted", member)
                books.join(member)

    def _tidy(self, books: LimitsBooks) -> None:
        """Drop entries of this node that are booked, and those of the dead that never were sent:
        Redis was away when it should have heard of it."""
        prefix = stored_owner(self._journal, "")
        for owner in books.owners():
            if not owner.startswith(prefix):
                continue
            old = [
                one for one in books.entries_of(owner, _MOST_LOOKED_AT) if _age_s(one) > self._old_s
            ]
            if old:
                self._tidy_owner(books, owner, old)
            if not self._has_files(owner.removeprefix(prefix)):
                self._forget_unsent(books, owner)
        self._old_s = _OLD_S

    def _tidy_owner(self, books: LimitsBooks, owner: str, old: list[bytes]) -> None:
        with one_view():
            booked = costs_of(old)
            windows = [
                Booked(budget.id, *window)
                for budget in (shared_limits.loaded() if booked else [])
                for window in budget.windows
            ]
        if booked:
            self.status.tidied += books.post(windows, [(owner, one) for one in booked])

    def _forget_unsent(self, books: LimitsBooks, owner: str) -> None:
        """All of the owner's journal is booked: what is left of it was never sent."""
        if costs_of(books.entries_of(owner, _MOST_LOOKED_AT)):
            return  # booked a moment ago
        self.status.tidied += books.forget(owner)

    def _audit(self, books: LimitsBooks) -> None:
        """Sum anew what is held, and set what differs from the ledger at the same booking."""
        with one_view():
            budgets = shared_limits.loaded()
        self.status.entries, wrong = books.audit([one.id for one in budgets], _MOST_AUDITED)
        clock.follow(books.server_ns)  # as gateways do, so that windows are the same
        known = books.sums([(one.id, start_s) for one in budgets for start_s, *_ in one.windows])
        off = [
            one
            for one in budgets
            if any(
                sums.booking == booking and sums.settled_nano != nano
                for start_s, nano, booking in one.windows
                if (sums := known.get((one.id, start_s)))
            )
        ]
        books.load(off)
        corrected = max(wrong, 0) + len(off)
        if corrected:
            log.error("%d sums in Redis were wrong and are corrected from the ledger", corrected)
        self.status.corrected += corrected
        self.status.warnings = books.warnings()
        books.clean_up()

    def _is_writing(self, owner: str) -> bool:
        paths = [path for path in list_segments(self._directory) if owner_of(path.name) == owner]
        return bool(paths) and has_writer(self._directory, paths[-1])

    def _has_files(self, owner: str) -> bool:
        return any(owner_of(path.name) == owner for path in list_segments(self._directory))

    def _is_due(self, name: str, every_s: float) -> bool:
        now = clock.monotonic()
        if now < self._due.get(name, 0.0):
            return False
        self._due[name] = now + every_s
        return True

    def _problem(self, what: str, error: Exception) -> None:
        if not self.status.problem:
            log.warning("the limits in Redis are not kept: %s (%s)", what, type(error).__name__)
        self.status.is_well = False
        self.status.problem = f"{what} does not answer ({type(error).__name__})"

    def _tell(self) -> None:
        if self._is_due("tell", 1.0):
            self.status.at_s = clock.wall_s()
            path = _status_path(self._directory)
            draft = path.with_suffix(".part")
            try:
                draft.write_bytes(msgspec.json.encode(self.status))
                draft.replace(path)
            except OSError:
                log.debug("the state of the limits cannot be written")


def read_limits_status(directory: Path) -> LimitsStatus | None:
    """What the keeper of this folder last said; None: there never was one."""
    try:
        return msgspec.json.decode(_status_path(directory).read_bytes(), type=LimitsStatus)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def beat(journal: str, ingest: IngestStatus | None = None) -> None:
    """This node lives: when Redis is built anew it is waited for. Raises django.db.Error."""
    said = {"host": socket.gethostname(), "last_seen_at": clock.now()}
    if ingest is not None:
        said |= {
            "ingest_seen_at": datetime.fromtimestamp(ingest.at_s, UTC),
            "unshipped_bytes": ingest.unshipped_bytes,
            "ingest_failures": ingest.failures,
        }
    GatewayNode.objects.update_or_create(pk=journal, defaults=said)


def build_epoch(books: LimitsBooks, journal: str) -> bool:
    """Begin the next epoch by what the ledger says; False: somebody else does, or just did.

    Raises django.db.Error, RedisError and OtherEpoch.
    """
    if not books.claim(_BUILD_S):
        return False
    epoch = books.look()
    if epoch is not None and epoch.is_current:
        return False
    began = clock.monotonic()
    with transaction.atomic():
        number = Counter.step(Counter.Name.EPOCH)
    with one_view():
        budgets = shared_limits.loaded()
        alive = GatewayNode.objects.filter(last_seen_at__gt=clock.now() - ALIVE_FOR)
        members = {NODE + journal, *(NODE + one for one in alive.values_list("pk", flat=True))}
    if clock.monotonic() - began > _BUILD_S / 2:
        raise OtherEpoch  # too slow: the claim may be another's by now
    books.build(number, budgets, sorted(members), books.run_id())
    log.warning("the limits in Redis are built anew from the ledger, epoch %d", number)
    return True


def _age_s(request_id: bytes) -> float:
    """How long ago the id, a UUID of version 7, was made."""
    return clock.wall_s() - (UUID(bytes=request_id).int >> 80) / 1000


def _status_path(directory: Path) -> Path:
    return directory / "limits.json"
