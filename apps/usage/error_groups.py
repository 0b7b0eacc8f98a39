"""What failed and what was refused, by kind, code, deployment and client, counted exactly once:
by ingest in the transaction that books the requests, from the rows that are really new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec
from django.db import connection

from apps.usage.models import ErrorGroup, RefusalSample
from apps.usage.names import Names
from apps.usage.open_requests import Closed
from apps.usage.records import FaultRow, RefusedRow, Tally
from apps.usage.rows import RequestRow, text_of
from chatvault.lib.errors import ChatVaultError

SAMPLES_KEPT: Final = 2_000
_HOUR_MS: Final = 3_600_000
_FAILED: Final = ("error", "interrupted")
# How an attempt ended that the provider is not to blame for.
_NOT_THE_PROVIDER: Final = frozenset(
    {"", "client_closed_request", "budget_exhausted", "internal_error", "interrupted"}
)
Kind = ErrorGroup.Kind


class Key(NamedTuple):
    """What makes two errors the same."""

    kind: str
    code: str
    deployment_id: int = 0
    client_id: int = 0
    place: str = ""

    def number(self) -> int:
        """The row of the group: the same wherever it is worked out, below 2^63."""
        digest = blake2b(msgspec.msgpack.encode(self), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1


class Seen(msgspec.Struct):
    """Occurrences of one group: how often, in which hours, and the latest."""

    first_ms: int
    last_ms: int
    count: int = 0
    status: int = 0
    request_id: str | None = None
    detail: str = ""
    hours: dict[int, int] = {}


class Errors:
    """Occurrences of one batch, ready to be added to their groups."""

    def __init__(self) -> None:
        self.seen: dict[Key, Seen] = {}

    def add(
        self,
        key: Key,
        at_ms: int,
        *,
        count: int = 1,
        status: int = 0,
        request_id: str | None = None,
        detail: str = "",
    ) -> None:
        seen = self.seen.get(key)
        if seen is None:
            seen = self.seen[key] = Seen(at_ms, at_ms)
        seen.count += count
        seen.first_ms = min(seen.first_ms, at_ms)
        hour = at_ms - at_ms % _HOUR_MS
        seen.hours[hour] = seen.hours.get(hour, 0) + count
        if at_ms >= seen.last_ms:
            seen.last_ms, seen.status, seen.request_id = at_ms, status, request_id
            seen.detail = detail[:200]

    def add_request(self, closed: Closed, row: RequestRow) -> None:
        """A request that failed, and the calls that failed on its way, whatever became of it."""
        request, settle = closed.request, closed.settle
        if row.outcome in _FAILED:
            self.add(
                Key(Kind.REQUEST, row.error_code, settle.deployment_id, row.client_id),
                max(settle.at_ms, request.intent.at_ms),
                status=row.http_status,
                request_id=row.request_id,
                detail=sentence_of(row.error_code),
            )
        for number, end in request.ends.items():
            start = request.starts.get(number)
            if start is not None and end.error_code not in _NOT_THE_PROVIDER:
                said = f"status {end.http_status}" if end.http_status else "no answer"
                self.add(
                    Key(Kind.ATTEMPT, end.error_code, start.deployment_id, row.client_id),
                    end.at_ms,
                    status=end.http_status,
                    request_id=row.request_id,
                    detail=f"{said}. {sentence_of(end.error_code)}".strip(),
                )

    def add_refusal(self, row: RefusedRow) -> None:
        self.add(
            Key(Kind.REFUSAL, row.code, client_id=row.client_id),
            row.last_ms,
            count=row.count,
            status=row.status,
            detail=row.message,
        )

    def add_fault(self, row: FaultRow) -> None:
        self.add(
            Key(Kind.FAULT, row.name, place=row.place),
            row.last_ms,
            count=row.count,
            status=500,
            request_id=row.request_id.hex() if len(row.request_id) == 16 else None,
            detail=row.detail,
        )


class Cause(NamedTuple):
    """A request of a batch that had errors, one with a trace if there is one; or nothing."""

    trace: bytes = b""
    request_id: bytes = b""


def book(
    booked: Iterable[tuple[Closed, RequestRow]], tallies: Sequence[Tally], names: Names
) -> Cause | None:
    """Add a batch to the groups. Call it once for what is new, in its transaction.

    Returns None when it had no errors.
    """
    errors, cause = Errors(), Cause()
    for closed, row in booked:
        if row.outcome in _FAILED or len(closed.request.starts) > 1:
            errors.add_request(closed, row)
            intent = closed.request.intent
            if not cause.trace:
                cause = Cause(intent.trace, intent.request_id)
    for tally in tallies:
        for refusal in tally.refused:
            errors.add_refusal(refusal)
        for fault in tally.faults:
            errors.add_fault(fault)
    if not errors.seen:
        return None
    save(errors, names)
    _keep_samples([row for tally in tallies for row in tally.refused if row.key_id])
    return cause


def save(errors: Errors, names: Names) -> None:
    """Add occurrences to their groups and hours."""
    names.load_also(
        clients={key.client_id for key in errors.seen},
        deployments={key.deployment_id for key in errors.seen},
    )
    groups: list[tuple[Any, ...]] = []
    hours: list[tuple[int, str, int]] = []
    for key, seen in errors.seen.items():
        number = key.number()
        deployment_name, _ = names.deployment(key.deployment_id)
        client_name = names.client(key.client_id)
        first, last = text_of(seen.first_ms), text_of(seen.last_ms)
        groups.append(
            (
                *(number, *key, deployment_name, client_name, seen.count, first, last),
                *(seen.status, seen.request_id, seen.detail),
            )
        )
        hours += [(number, text_of(at), count) for at, count in seen.hours.items()]
    with connection.cursor() as cursor:  # in one order, so that two writers do not wait in a ring
        groups.sort()
        hours.sort()
        cursor.executemany(_ADD_TO_GROUP, groups)
        cursor.executemany(_ADD_TO_HOUR, hours)


def _keep_samples(rows: list[RefusedRow]) -> None:
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.executemany(
            _ADD_SAMPLE,
            [
                (
                    *(text_of(row.last_ms), row.client_id, row.key_id, row.alias),
                    *(row.status, row.code, row.message, row.count),
                )
                for row in rows
            ],
        )
    newest = RefusalSample.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    RefusalSample.objects.filter(pk__lte=newest - SAMPLES_KEPT).delete()


def sentence_of(code: str) -> str:
    """What a code of ours means; empty for a provider's."""
    return _sentences().get(code, "")


@cache
def _sentences() -> dict[str, str]:
    found: dict[str, str] = {
        "interrupted": "The gateway died, or lost the journal, before the request ended.",
        "upstream_credential_refused": "The provider refused ChatVault's credential.",
        "upstream_quota_exhausted": "ChatVault's account at the provider has no credit left.",
        "upstream_rate_limited": "The provider's rate limit for the model was reached.",
        "upstream_overloaded": "The provider is overloaded.",
    }
    waiting: list[type[ChatVaultError]] = [ChatVaultError]
    while waiting:
        error = waiting.pop()
        found.setdefault(error.code, error.default_message)
        waiting += error.__subclasses__()
    return found


_ADD_TO_GROUP: Final = """
INSERT INTO usage_errorgroup (
    id, kind, code, deployment_id, client_id, place, deployment_name, client_name,
    count, first_seen, last_seen, last_status, last_request_id, last_detail,
    state, state_by, reopened
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'open', '', 0)
ON CONFLICT (id) DO UPDATE SET
    count = usage_errorgroup.count + excluded.count,
    deployment_name = CASE WHEN excluded.deployment_name = '' THEN usage_errorgroup.deployment_name
        ELSE excluded.deployment_name END,
    client_name = CASE WHEN excluded.client_name = '' THEN usage_errorgroup.client_name
        ELSE excluded.client_name END,
    first_seen = CASE WHEN excluded.first_seen < usage_errorgroup.first_seen
        THEN excluded.first_seen ELSE usage_errorgroup.first_seen END,
    last_status = CASE WHEN excluded.last_seen >= usage_errorgroup.last_seen
        THEN excluded.last_status ELSE usage_errorgroup.last_status END,
    last_request_id = CASE WHEN excluded.last_seen >= usage_errorgroup.last_seen
        THEN excluded.last_request_id ELSE usage_errorgroup.last_request_id END,
    last_detail = CASE WHEN excluded.last_seen >= usage_errorgroup.last_seen
        THEN excluded.last_detail ELSE usage_errorgroup.last_detail END,
    last_seen = CASE WHEN excluded.last_seen >= usage_errorgroup.last_seen
        THEN excluded.last_seen ELSE usage_errorgroup.last_seen END
"""
_ADD_TO_HOUR: Final = """
INSERT INTO usage_errorhour (group_id, hour, count) VALUES (%s, %s, %s)
ON CONFLICT (group_id, hour) DO UPDATE SET count = usage_errorhour.count + excluded.count
"""
_ADD_SAMPLE: Final = """
INSERT INTO usage_refusalsample (at, client_id, key_id, alias, status, code, message, count)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
