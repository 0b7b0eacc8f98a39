"""What the journal holds: records, and the frames that carry them through a crash.

A frame is magic (2 bytes), type (1), payload length (2), CRC-32 over type, length and payload
(4), payload: the record as a MessagePack array. Little endian. Ids, integers and short codes
only; no prompts, no answers, no secrets. A record may get more fields at its end: older ingests
leave out what they do not know, and what an older gateway did not write has its default.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final, Literal
from zlib import crc32

import msgspec

from apps.providers.adapters.contract import Usage

MAGIC: Final = b"\xc5\x9e"
_KIND: Final = struct.Struct("<BH")
_HEAD: Final = struct.Struct("<2sBHI")
HEAD_BYTES: Final = _HEAD.size
MAX_PAYLOAD: Final = 0xFFFF
MOST_QUOTA_ROWS: Final = 500  # of one Tally


# Bounds of the columns they end in; a record beyond them is damaged. Checked when it is read.
RequestId = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]  # UUID version 7
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Small = Annotated[int, msgspec.Meta(ge=0, le=2**15 - 1)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]  # until the year 9999
Code = Annotated[str, msgspec.Meta(max_length=64)]
Line = Annotated[str, msgspec.Meta(max_length=200)]
Alias = Annotated[str, msgspec.Meta(max_length=150)]
TraceId = Annotated[bytes, msgspec.Meta(max_length=25)]  # trace id, span id, flags; or empty
TierName = Annotated[str, msgspec.Meta(max_length=32)]
TagKey = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
TagValue = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Tags = Annotated[tuple[tuple[TagKey, TagValue], ...], msgspec.Meta(max_length=8)]
MaybeMillis = Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)]  # -1: unknown, or there was none


class Intent(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """A request that was admitted. Written before its first byte goes to a provider."""

    request_id: RequestId
    at_ms: Millis
    key_id: Whole
    client_id: Whole
    team_id: Whole
    tier_id: Whole
    markup_ppm: int
    alias: Alias
    operation: Annotated[str, msgspec.Meta(max_length=16)]
    stream: bool
    revision: Whole
    prompt_tokens: Whole  # estimated
    max_output_tokens: Whole
    reserved_nano: Whole
    budgets: tuple[tuple[int, int], ...]  # (budget id, start of its window in epoch seconds)
    deployment_id: Whole = 0  # not 0: the first attempt starts with this record
    price_id: Whole = 0  # of that attempt; 0: unpriced
    trace: TraceId = b""  # of the request's span, where it is sampled
    user_id: Whole = 0  # the person whose token it was; 0: nobody's
    application_id: Whole = 0  # the OAuth application that held the token; 0: none
    tags: Tags = ()
    terms_id: Whole = 0  # the version of the pricing tier; 0: unknown


class AttemptStart(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """A call to a provider is about to be made; the first one is part of its Intent."""

    request_id: RequestId
    number: Small  # from 1
    at_ms: Millis
    deployment_id: Whole
    price_id: Whole  # 0: unpriced


class AttemptEnd(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """That call is over. Where the record is missing, a Settle ended the last one."""

    request_id: RequestId
    number: Small
    at_ms: Millis
    http_status: Small  # 0: no answer
    error_code: Code = ""
    first_byte_ms: MaybeMillis = -1  # from the start of the call


class Progress(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """How much of a stream is out: at the first token, then now and again."""

    request_id: RequestId
    at_ms: Millis
    output_tokens: Whole


class Settle(msgspec.Struct, array_like=True, tag=5, frozen=True):
    """How a request ended and what it costs. Written before the last byte goes to the client."""

    request_id: RequestId
    at_ms: Millis
    outcome: Literal["ok", "error", "cancelled", "interrupted"]
    http_status: Small
    error_code: Code
    deployment_id: Whole
    price_id: Whole
    usage: Usage
    usage_source: Literal["provider", "estimated", "none"]
    cost_nano: Whole
    charged_nano: Whole
    latency_ms: Count
    first_token_ms: MaybeMillis = -1
    attempts: Small = 0
    service_tier: TierName = ""  # in which the provider served it, where it said so
    error_detail: Line = ""  # never values, nor anybody's own text
    first_byte_ms: MaybeMillis = -1  # of the last attempt, from its start


class RefusedRow(msgspec.Struct, array_like=True, frozen=True):
    """Refusals of one kind since the last Tally. Client 0: callers without a known key."""

    client_id: Whole
    key_id: Whole  # 0: of any key
    alias: Alias  # as the latest caller wrote it
    code: Code
    status: Small
    count: Whole
    last_ms: Millis
    message: Line = ""  # what the latest caller was told


class FaultRow(msgspec.Struct, array_like=True, frozen=True):
    """Exceptions that nobody expected, of one class and from one place."""

    name: Annotated[str, msgspec.Meta(max_length=100)]  # of the class
    place: Line  # module, function and line
    count: Whole
    last_ms: Millis
    detail: Line = ""  # never values
    request_id: Annotated[bytes, msgspec.Meta(max_length=16)] = b""


class QuotaRow(msgspec.Struct, array_like=True, frozen=True):
    """What one quota refused since the last Tally, or would have."""

    quota_id: Whole
    refused: Whole
    observed: Whole


class Tally(msgspec.Struct, array_like=True, tag=6, frozen=True):
    """What one process refused, and what went wrong inside it, since its last Tally."""

    at_ms: Millis
    refused: tuple[RefusedRow, ...] = ()
    faults: tuple[FaultRow, ...] = ()
    quotas: tuple[QuotaRow, ...] = ()


RequestRecord = Intent | AttemptStart | AttemptEnd | Progress | Settle
Record = RequestRecord | Tally

INTENT: Final = 1
SETTLE: Final = 5
_TYPES: Final[dict[type[object], int]] = {
    Intent: INTENT,
    AttemptStart: 2,
    AttemptEnd: 3,
    Progress: 4,
    Settle: SETTLE,
    Tally: 6,
}
_KNOWN: Final = frozenset(_TYPES.values())
_unpack_head: Final = _HEAD.unpack_from
_encode: Final = msgspec.msgpack.Encoder().encode
decode_payload: Final = msgspec.msgpack.Decoder(Record).decode


def encode_frame(record: Record) -> bytes:
    """The bytes of one record in a segment. Raises ValueError when it is larger than 64 KiB."""
    payload = _encode(record)
    if len(payload) > MAX_PAYLOAD:
        raise ValueError("a journal record is larger than 64 KiB")
    kind = _TYPES[type(record)]
    checksum = crc32(payload, crc32(_KIND.pack(kind, len(payload))))
    return _HEAD.pack(MAGIC, kind, len(payload), checksum) + payload


def is_known(data: bytes, start: int) -> bool:
    """Whether the intact frame there is of a type that this version knows."""
    return data[start + 2] in _KNOWN


def frame_end(data: bytes, start: int) -> int:
    """Where the frame that begins at `start` ends; 0: none begins there or it is cut short."""
    if len(data) - start < HEAD_BYTES or not data.startswith(MAGIC, start):
        return 0
    end = start + HEAD_BYTES + int.from_bytes(data[start + 3 : start + 5], "little")
    return end if end <= len(data) else 0


def payload_at(data: bytes, start: int) -> bytes | None:
    """What the frame that begins at `start` carries; None: there is no intact frame."""
    try:
        magic, _, length, said = _unpack_head(data, start)
    except struct.error:
        return None
    begin = start + HEAD_BYTES
    payload = data[begin : begin + length]
    if magic != MAGIC or len(payload) != length:
        return None
    return payload if crc32(payload, crc32(data[start + 2 : start + 5])) == said else None
