"""Step 6. Hand the answer on: bytes pass through, the end waits until the books are closed."""

from __future__ import annotations

from apps.billing import pricing
from apps.gateway.contracts import Headers, Outlet
from apps.gateway.error_detail import detail_of
from apps.gateway.meter import Meter
from apps.gateway.plane import DataPlane
from apps.gateway.reply import error_event
from apps.gateway.steps.call import Upstream
from apps.gateway.steps.record import record_progress
from apps.providers.adapters.contract import StreamReader
from chatvault.lib import clock
from chatvault.lib.errors import BudgetExhausted, ChatVaultError, UpstreamError

PROGRESS_EVERY_S = 2.0
PROGRESS_EVERY_EVENTS = 1000
LOOK_EVERY_EVENTS = 32
NO_CAP = 2**63
SLACK = 16  # events that carry no output: roles, finish reasons, comments
BYTES_A_TOKEN = 8  # of text: twice the usual, so that no honest answer seems too long
LOGPROBS = b'"logprobs":{'  # with them the weight of an event is not that of its text


def take_answer(upstream: Upstream, meter: Meter) -> bytes:
    """A whole answer: note its usage; its bytes go out when the books are closed."""
    answer = upstream.answer
    assert answer is not None
    meter.service_tier = answer.service_tier
    if answer.usage is not None and pricing.valid_usage(answer.usage):
        meter.use(answer.usage, "provider")
    else:
        meter.estimate(-(-answer.output_text_bytes // 4))
    if meter.request.trace is not None:
        meter.request.trace.answer(answer.body, [])
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
        if upstream.first:  # an empty chunk would be the end of the body
            await outlet.write(upstream.first)
        relay = Relay(reader, meter, plane, outlet)
        if LOGPROBS in upstream.first:
            relay.weigh_by_events()
        tail = await _pass_on(upstream, relay, meter, outlet)
        meter.succeed()
    except ChatVaultError as error:
        meter.fail("error", 200, error.public_code)
        meter.error_detail = detail_of(error)
        if isinstance(error, UpstreamError) and meter.candidate is not None:
            plane.breaker.failed(meter.candidate.deployment.id)
        tail = error_event(error)
    finally:
        note_usage(reader, meter)
        if meter.request.trace is not None:
            meter.request.trace.answer(upstream.first, reader.finish_reasons)
    return tail


class CapReached(Exception):
    """More output than was reserved: somebody has to ask for more before it goes on."""


class Relay:
    """The hot path of a stream: one look and one write a chunk."""

    __slots__ = (
        "_bytes_a_token",
        "_feed",
        "_look_at",
        "_look_at_bytes",
        "_marked_at",
        "_marked_events",
        "_meter",
        "_push",
        "_pushed",
        "_reader",
        "cap",
        "plane",
    )

    def __init__(
        self, reader: StreamReader, meter: Meter, plane: DataPlane, outlet: Outlet
    ) -> None:
        self._reader = reader
        self._feed = reader.feed
        self._push = outlet.push
        self._meter = meter
        self.plane = plane
        self._marked_at = clock.monotonic()
        self._marked_events = 1
        self._pushed = 0
        self.cap = meter.output_cap if meter.reserved_nano else NO_CAP
        self._look_at = min(LOOK_EVERY_EVENTS, self.cap)
        self._bytes_a_token = BYTES_A_TOKEN
        self._look_at_bytes = self.cap * BYTES_A_TOKEN

    def weigh_by_events(self) -> None:
        """What the reader says of the size of the text does not count."""
        self._bytes_a_token = self._look_at_bytes = NO_CAP

    def __call__(self, data: bytes) -> bool:
        """Take what the provider sent. Raises what the reader raises, and CapReached."""
        out = self._feed(data)
        if not out:
            return False
        is_full = self._push(out)
        self._pushed += 1
        reader = self._reader
        if (
            reader.output_events > self._look_at
            or reader.output_text_bytes > self._look_at_bytes
            or self._pushed > self._look_at + SLACK
        ):
            self.look()
        return is_full

    def count(self) -> None:
        """Where somebody else pushes."""
        self._pushed += 1
        self.look()

    def look(self) -> None:
        """Mark the progress now and again, and mind the cap.

        A reader counts repeats once, but a provider that says one thing for ever must end too.
        """
        reader = self._reader
        events = max(reader.output_events, self._pushed - SLACK)
        now = clock.monotonic()
        if (
            events - self._marked_events >= PROGRESS_EVERY_EVENTS
            or now - self._marked_at >= PROGRESS_EVERY_S
        ):
            record_progress(self._meter, self.plane, delivered(reader))
            self._marked_at, self._marked_events = now, events
        self._look_at = min(events + LOOK_EVERY_EVENTS, self.cap)
        self._look_at_bytes = min(self.cap * self._bytes_a_token, NO_CAP)
        if max(events, reader.output_text_bytes // self._bytes_a_token) > self.cap:
            raise CapReached


async def _pass_on(upstream: Upstream, relay: Relay, meter: Meter, outlet: Outlet) -> bytes:
    """All but the tail, which is returned. Between two sides of ours nothing is awaited."""
    source = upstream.source if outlet.is_direct else None
    while upstream.tail is None:
        try:
            if source is not None:
                await source.pipe(relay, outlet.drained)
                source = None  # its clean end; the tail is next
            data = await upstream.next()
            if data:
                await outlet.write(data)
                relay.count()
        except CapReached:
            relay.cap = await _hold_more(meter, relay)
    return upstream.tail


async def _hold_more(meter: Meter, relay: Relay) -> int:
    """The provider passed the cap that was reserved: reserve as much again, or end the stream."""
    extra = max(1, meter.reserved_nano)
    if not await relay.plane.limits.extend(meter.request.id, extra):
        raise BudgetExhausted("The budget cannot cover more of this answer; it was cut off.")
    meter.reserved_nano += extra
    return relay.cap * 2


def note_usage(reader: StreamReader, meter: Meter) -> None:
    """What the provider said last, if it is valid; otherwise what was delivered."""
    meter.service_tier = reader.service_tier
    if reader.usage is not None and pricing.valid_usage(reader.usage):
        meter.use(reader.usage, "provider")
    else:
        meter.estimate(delivered(reader))


def delivered(reader: StreamReader) -> int:
    """An estimate of the tokens that are out."""
    return max(reader.output_events, -(-reader.output_text_bytes // 4))
