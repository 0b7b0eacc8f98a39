"""Step 6. Hand the answer on: bytes pass through, the end waits until the books are closed."""

from __future__ import annotations

import msgspec

from apps.billing import pricing
from apps.gateway.contracts import Headers, Outlet
from apps.gateway.meter import Meter
from apps.gateway.plane import DataPlane
from apps.gateway.steps.call import Upstream
from apps.gateway.steps.record import record_progress
from apps.providers.adapters.contract import StreamReader
from chatvault.lib import clock
from chatvault.lib.errors import BudgetExhausted, ChatVaultError, UpstreamError

PROGRESS_EVERY_S = 2.0
PROGRESS_EVERY_EVENTS = 1000
EVENT_HEAD = b"data: "


def take_answer(upstream: Upstream, meter: Meter) -> bytes:
    """A whole answer: note its usage; its bytes go out when the books are closed."""
    answer = upstream.answer
    assert answer is not None
    if answer.usage is not None and pricing.valid_usage(answer.usage):
        meter.use(answer.usage, "provider")
    else:
        meter.estimate(-(-answer.output_text_bytes // 4))
    meter.succeed()
    return answer.body


async def stream(
    upstream: Upstream, meter: Meter, plane: DataPlane, outlet: Outlet, head: Headers
) -> bytes:
    """Pass the stream on and return its tail, which waits for the books.

    A provider that breaks off after the first byte ends in an error event without the end mark:
    a broken stream is never presented as a finished answer. What was delivered is owed.
    """
    reader = upstream.reader
    assert reader is not None
    try:
        meter.first_token()
        record_progress(meter, plane, 1)
        await outlet.start(200, head)
        outlet.watch()
        await outlet.write(upstream.first)
        await _pass_on(upstream, reader, meter, plane, outlet)
        tail = reader.finish()
        meter.succeed()
    except ChatVaultError as error:
        meter.fail("error", 200, error.public_code)
        if isinstance(error, UpstreamError) and meter.candidate is not None:
            plane.breaker.failed(meter.candidate.deployment.id)
        tail = EVENT_HEAD + msgspec.json.encode(error.openai()) + b"\n\n"
    finally:
        note_usage(reader, meter)
    return tail


async def _pass_on(
    upstream: Upstream, reader: StreamReader, meter: Meter, plane: DataPlane, outlet: Outlet
) -> None:
    """The hot loop: one read, one look, one write a chunk."""
    write, following = outlet.write, upstream.next
    marked_at, marked_events = clock.monotonic(), 1
    cap = meter.output_cap if meter.reserved_nano else 2**63
    while True:
        data = await following()
        if data:
            await write(data)
        elif data is None:
            return
        events = reader.output_events
        if events > cap:
            cap = await _hold_more(meter, plane, cap)
        if events - marked_events >= PROGRESS_EVERY_EVENTS or (
            events & 31 == 0 and clock.monotonic() - marked_at >= PROGRESS_EVERY_S
        ):
            record_progress(meter, plane, events)
            marked_at, marked_events = clock.monotonic(), events


async def _hold_more(meter: Meter, plane: DataPlane, cap: int) -> int:
    """The provider passed the cap that was reserved: reserve as much again, or end the stream."""
    extra = max(1, meter.reserved_nano)
    if not await plane.limits.extend(meter.request.id, extra):
        raise BudgetExhausted("The budget cannot cover more of this answer; it was cut off.")
    meter.reserved_nano += extra
    return cap * 2


def note_usage(reader: StreamReader, meter: Meter) -> None:
    """What the provider said last, if it is valid; otherwise what was delivered."""
    if reader.usage is not None and pricing.valid_usage(reader.usage):
        meter.use(reader.usage, "provider")
    else:
        meter.estimate(max(reader.output_events, -(-reader.output_text_bytes // 4)))
