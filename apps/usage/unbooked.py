"""What the journals of this machine hold that the ledger does not have yet, for Redis."""

from __future__ import annotations

from pathlib import Path

import msgspec

from apps.billing import shared_limits
from apps.billing.limits.redis.books import Held
from apps.billing.limits.redis.limits import LoadedBudget
from apps.usage.models import JournalCursor, OpenIntent
from apps.usage.open_requests import Closed, OpenRequest, OpenRequests
from apps.usage.reader import SegmentReader
from apps.usage.records import Tally
from apps.usage.restore import costs_of, over_journals
from apps.usage.segments import has_writer, journal_id, owner_of, stored_owner


class Unbooked(msgspec.Struct, frozen=True):
    """Ledger and journals at one instant: together they are all that was ever promised to pay."""

    budgets: list[LoadedBudget]
    held: list[Held]
    writers: list[str]  # owners that live


def unbooked(directory: Path) -> Unbooked:
    """Raises django.db.Error."""
    return over_journals(directory, lambda readers: _read(directory, readers))


def _read(directory: Path, readers: list[SegmentReader]) -> Unbooked:
    journal = journal_id(directory)
    prefix = stored_owner(journal, "")
    names = [reader.path.name for reader in readers]
    cursors = JournalCursor.objects.filter(segment__in=names)
    offsets: dict[str, int] = dict(cursors.values_list("segment", "offset"))
    requests = OpenRequests()
    for stored in OpenIntent.objects.filter(owner__startswith=prefix):
        requests.restore(stored.owner.removeprefix(prefix), bytes(stored.record))
    found: dict[bytes, Held] = {}
    newest: dict[str, Path] = {}
    for reader in readers:
        owner = owner_of(reader.path.name)
        newest[owner] = reader.path
        shipped = offsets.get(reader.path.name, 0)
        for record in reader.records(is_final=True):
            if isinstance(record, Tally):
                continue
            known = requests.apply(record, owner)
            if type(known) is Closed and reader.offset > shipped:
                one = _held(prefix, known.request, known.settle.charged_nano, is_settled=True)
                found[one.request_id] = one
    for owner in requests.owners():
        for request in requests.of_owner(owner):
            one = _held(prefix, request, request.intent.reserved_nano, is_settled=False)
            found[one.request_id] = one
    booked = costs_of(found)
    return Unbooked(
        budgets=shared_limits.loaded(),
        held=[one for one in found.values() if one.windows and one.request_id not in booked],
        writers=[prefix + owner for owner, path in newest.items() if has_writer(directory, path)],
    )


def _held(prefix: str, request: OpenRequest, nano_usd: int, *, is_settled: bool) -> Held:
    intent = request.intent
    tokens = intent.prompt_tokens + intent.max_output_tokens
    owner = prefix + request.owner
    return Held(owner, intent.request_id, tokens, nano_usd, is_settled, intent.budgets)
