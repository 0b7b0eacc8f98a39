"""Requests that were begun in the journal and have no settlement yet."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from apps.usage.records import (
    HEAD_BYTES,
    AttemptEnd,
    AttemptStart,
    Intent,
    Progress,
    RequestRecord,
    Settle,
    Tally,
    decode_payload,
    encode_frame,
    frame_end,
)


class OpenRequest(msgspec.Struct):
    """One request and what the journal says about it so far."""

    owner: str
    intent: Intent
    starts: dict[int, AttemptStart] = {}  # by number
    ends: dict[int, AttemptEnd] = {}
    output_tokens: int = 0  # by the last progress mark
    is_stored: bool = False  # a row of OpenIntent keeps it

    @property
    def last_deployment(self) -> int:
        """The one that was called last; 0: none."""
        return self.starts[max(self.starts)].deployment_id if self.starts else 0

    def to_bytes(self) -> bytes:
        """Its records as the journal would write them."""
        records: list[RequestRecord] = [self.intent, *self.starts.values(), *self.ends.values()]
        if self.output_tokens:
            mark = Progress(self.intent.request_id, self.intent.at_ms, self.output_tokens)
            records.append(mark)
        return b"".join([encode_frame(record) for record in records])


class Closed(msgspec.Struct, frozen=True):
    """A request with its settlement."""

    request: OpenRequest
    settle: Settle
    upper_nano: int | None = None
    """The most an interrupted request can have cost."""


class OpenRequests:
    """All open requests that one reader knows. Booking a record twice changes nothing."""

    def __init__(self) -> None:
        self._open: dict[bytes, OpenRequest] = {}

    def apply(self, record: RequestRecord, owner: str) -> Closed | Settle | None:
        """Book one record.

        A settlement of an open request gives Closed. One without an open request comes back
        as it is: it was seen before, it follows an earlier one, or its intent was lost.
        """
        if type(record) is Settle:
            settled = self._open.pop(record.request_id, None)
            if settled is None:
                return record
            _end_last_attempt(settled, record)
            return Closed(settled, record)
        if type(record) is Intent:
            if record.request_id not in self._open:
                self._open[record.request_id] = _begin(record, owner)
            return None
        request = self._open.get(record.request_id)
        if request is None:
            return None
        if type(record) is AttemptStart:
            request.starts[record.number] = record
        elif type(record) is AttemptEnd:
            request.ends[record.number] = record
        elif type(record) is Progress:
            request.output_tokens = max(request.output_tokens, record.output_tokens)
        return None

    def restore(self, owner: str, data: bytes) -> None:
        """Take over a request that `to_bytes` wrote."""
        at = 0
        while end := frame_end(data, at):
            record = decode_payload(data[at + HEAD_BYTES : end])
            assert not isinstance(record, Tally)  # `to_bytes` writes requests
            self.apply(record, owner)
            self._open[record.request_id].is_stored = True
            at = end

    def of_owner(self, owner: str) -> list[OpenRequest]:
        return [request for request in self._open.values() if request.owner == owner]

    def owners(self) -> set[str]:
        return {request.owner for request in self._open.values()}

    def forget(self, requests: Iterable[OpenRequest]) -> None:
        for request in requests:
            self._open.pop(request.intent.request_id, None)

    def __len__(self) -> int:
        return len(self._open)


def _begin(intent: Intent, owner: str) -> OpenRequest:
    request = OpenRequest(owner, intent)
    if intent.deployment_id:
        request.starts[1] = AttemptStart(
            intent.request_id, 1, intent.at_ms, intent.deployment_id, intent.price_id
        )
    return request


def _end_last_attempt(request: OpenRequest, settle: Settle) -> None:
    number = settle.attempts
    if number and number not in request.ends:
        request.ends[number] = AttemptEnd(
            settle.request_id,
            number,
            settle.at_ms,
            settle.http_status,
            settle.error_code,
            settle.first_byte_ms,
        )
