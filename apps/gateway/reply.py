"""Heads of answers: exact headers, in bytes, built once where they can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from apps.billing.limits import ratelimit_headers
from chatvault.lib import clock
from chatvault.lib.errors import ChatVaultError
from chatvault.lib.money import NANO_PER_USD

if TYPE_CHECKING:
    from apps.gateway.contracts import GatewayRequest, Headers
    from apps.gateway.meter import Meter
    from apps.gateway.plane import DataPlane

JSON = (b"content-type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
NO_STORE = (b"cache-control", b"private, no-store")
NOSNIFF = (b"x-content-type-options", b"nosniff")
VERSION = (b"openai-version", b"2020-10-01")
UNBUFFERED = (b"x-accel-buffering", b"no")


def request_id_text(request_id: bytes) -> bytes:
    """A UUID as text (RFC 9562)."""
    h = request_id.hex("-", -2)  # in pairs of bytes: 8 groups, of which a UUID joins some
    return f"{h[:4]}{h[5:29]}{h[30:34]}{h[35:]}".encode()


def usd_text(nano: int) -> bytes:
    """Exact USD with all nine places; charges are never negative."""
    return b"%d.%09d" % divmod(nano, NANO_PER_USD)


def common_head(request: GatewayRequest) -> Headers:
    """What every answer carries, errors included."""
    elapsed_ms = int((clock.monotonic() - request.started) * 1000)
    head = [
        NO_STORE,
        NOSNIFF,
        VERSION,
        (b"x-request-id", request_id_text(request.id)),
        (b"openai-processing-ms", b"%d" % elapsed_ms),
    ]
    if request.client_request_id:
        head.append((b"x-client-request-id", request.client_request_id))
    return head


def answer_head(meter: Meter, plane: DataPlane, length: int | None = None) -> Headers:
    """Head of a 200: with `length` of a whole answer, without of a stream."""
    head = common_head(meter.request)
    if length is None:
        head.append(EVENTS)
        head.append(UNBUFFERED)
    else:
        head.append(JSON)
        head.append((b"content-length", b"%d" % length))
    if meter.candidate is not None:
        head += meter.candidate.labels
    if meter.bill is not None:
        head.append((b"x-chatvault-cost-usd", usd_text(meter.bill.charged_nano)))
    head += ratelimit_headers(meter.headroom)
    head += meter.budget_head
    return head


def error_event(error: ChatVaultError) -> bytes:
    """The last event of a stream that breaks off, in OpenAI's envelope."""
    return b"data: " + msgspec.json.encode(error.openai()) + b"\n\n"


def error_reply(error: ChatVaultError, request: GatewayRequest) -> tuple[int, Headers, bytes]:
    """Status, head and body of a refusal, in OpenAI's envelope."""
    body = msgspec.json.encode(error.openai())
    head = common_head(request)
    head.append(JSON)
    head.append((b"content-length", b"%d" % len(body)))
    for name, value in error.headers.items():
        head.append((name.encode(), value.encode()))
    if error.http_status == 401:
        head.append((b"www-authenticate", b"Bearer"))
    return error.http_status, head, body
