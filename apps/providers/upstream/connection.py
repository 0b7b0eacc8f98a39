"""One connection to a provider: writes requests, parses answers, keeps their deadlines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

from apps.providers.upstream.contract import Caps, Deadlines
from apps.providers.upstream.decode import decoder_for
from apps.providers.upstream.response import Sink, UpstreamResponse
from chatvault.lib.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamTimedOut,
    UpstreamTooLarge,
)

if TYPE_CHECKING:
    from apps.providers.upstream.origin import Origin

_ONE_WRITE_BYTES = 64 * 1024  # joining head and body saves a system call until copying costs more
_MAX_INTERIM_ANSWERS = 16
_names: dict[bytes, str] = {}


def _header_name(raw: bytes) -> str:
    name = raw.decode("latin-1").lower()
    if len(_names) < 512:
        _names[raw] = name
    return name


class Connection(asyncio.Protocol):
    """Serves one exchange at a time; `exchange` is None while it idles in its origin.

    The parser's callbacks only take notes. What follows from them is decided in
    `data_received`, after the parser has returned. One timer per connection: it is armed for the
    earliest limit and looks again when it fires, so that bytes cost no timer calls.
    """

    __slots__ = (
        "_caps", "_deadlines", "_fault", "_first_byte_at", "_head_seen", "_interim", "_is_clean",
        "_is_finished", "_is_head", "_is_head_done", "_is_interim", "_loop", "_origin", "_parser",
        "_room", "_timer", "_timer_at", "_total_at", "_transport", "_until_close",
        "exchange", "has_answered", "idle_since", "last_byte_at",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, origin: Origin, caps: Caps) -> None:
        self._loop = loop
        self._origin = origin
        self._caps = caps
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.exchange: UpstreamResponse | None = None
        self.idle_since = 0.0

    @property
    def is_lost(self) -> bool:
        return self._parser is None

    # --- one exchange -------------------------------------------------------------------------

    def start(
        self, head: bytes, body: bytes, deadlines: Deadlines, total_at: float, is_head: bool
    ) -> UpstreamResponse:
        """Write a request; the response it returns has no head yet (see `UpstreamPool.send`)."""
        now = self._loop.time()
        self._deadlines = deadlines
        self._total_at = total_at
        self._first_byte_at = now + deadlines.first_byte_s
        self._fault: UpstreamError | None = None
        self._head_seen = 0
        self._room = self._caps.header_bytes
        self._interim = 0
        self._is_clean = True
        self._is_finished = self._is_head_done = self._is_interim = self._until_close = False
        self._is_head = is_head
        self.has_answered = False
        response = self.exchange = UpstreamResponse(self._loop, self)
        transport = self._transport
        assert transport is not None
        if len(body) <= _ONE_WRITE_BYTES:
            transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        else:
            transport.write(b"%b%d\r\n\r\n" % (head, len(body)))
            transport.write(body)
        self._watch(min(self._first_byte_at, total_at))
        return response

    def give_up(self, error: UpstreamError) -> None:
        """End the exchange and the connection at once; what waits for it gets the error."""
        response = self.exchange
        if response is not None:
            self.exchange = None
            response.connection = None
            if response.error is None:
                response.error = error
            _wake(response)
        self.abort()

    def abort(self) -> None:
        self._origin.forget(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._parser = None  # it holds bound methods of ours: a cycle
        if self._transport is not None:
            self._transport.abort()

    def resume(self) -> None:
        response, transport = self.exchange, self._transport
        if response is not None and transport is not None:
            response.is_paused = False
            self.last_byte_at = self._loop.time()  # the silence was ours
            transport.resume_reading()

    # --- deadlines ----------------------------------------------------------------------------

    def _watch(self, limit: float) -> None:
        if self._timer is not None:
            if self._timer_at <= limit:
                return
            self._timer.cancel()
        self._timer_at = limit
        self._timer = self._loop.call_at(limit, self._look)

    def _look(self) -> None:
        self._timer = None
        response = self.exchange
        if response is None:
            self._origin.sweep()
            return
        now = self._loop.time()
        limit, phase = self._total_at, "total"
        if not self._is_head_done:
            if self._first_byte_at < limit:
                limit, phase = self._first_byte_at, "first_byte"
        elif not response.is_paused:
            if self.last_byte_at + self._deadlines.idle_s < limit:
                limit, phase = self.last_byte_at + self._deadlines.idle_s, "idle"
        else:
            limit = min(limit, now + self._deadlines.idle_s)
        if now < limit - 0.001:
            self._watch(limit)
        else:
            self.give_up(UpstreamTimedOut(phase))

    # --- the transport's side -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        response, parser = self.exchange, self._parser
        if response is None or parser is None:
            self.abort()  # bytes that nobody asked for: whose answer would they be?
            return
        self.has_answered = True
        self.last_byte_at = self._loop.time()
        was_head_done = self._is_head_done
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._is_finished:
                broken = UpstreamBroken("The provider's answer is not HTTP/1.1.")
                self.give_up(self._fault or broken)
                return
            self._is_clean = False  # the answer is whole; what follows it is none
        if self._is_finished:
            self._finish(response)
        elif not self._is_head_done:
            self._head_seen += len(data)
            if self._head_seen > self._caps.header_bytes:
                self.give_up(UpstreamTooLarge("The provider's answer has too large a head."))
            return
        else:
            if response.waiting > self._caps.waiting_bytes and not response.is_paused:
                response.is_paused = True
                assert self._transport is not None
                self._transport.pause_reading()
            if not was_head_done:
                self._watch(min(self.last_byte_at + self._deadlines.idle_s, self._total_at))
            sink = response.sink
            if sink is not None and self._hand_over(response, sink):
                return
        waiter = response.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _hand_over(self, response: UpstreamResponse, sink: Sink) -> bool:
        """Give the sink what arrived. False: its reader has to look at something first."""
        if response.is_full or response.failure is not None or not response.chunks:
            return True
        try:
            response.is_full = sink(response.take())
        except Exception as failure:  # whatever it is, it belongs to the reader, not to the loop
            response.failure = failure
        if response.is_full and not response.is_paused:
            response.is_paused = True
            assert self._transport is not None
            self._transport.pause_reading()
        return not response.is_full and response.failure is None

    def connection_lost(self, exc: Exception | None) -> None:
        response = self.exchange
        if response is None:
            self.abort()
        elif self._is_head_done and self._until_close and exc is None:
            self._is_clean = False
            self._finish(response)
            _wake(response)
        else:
            self.give_up(UpstreamBroken("The provider closed the connection in its answer."))

    def _finish(self, response: UpstreamResponse) -> None:
        self.exchange = None
        response.connection = None
        response.is_complete = True
        transport = self._transport
        if self._is_clean and transport is not None and not transport.get_write_buffer_size():
            if response.is_paused:
                transport.resume_reading()
            self._origin.release(self)
        else:
            self.abort()

    # --- the parser's side --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._is_finished:
            self._stop(UpstreamBroken("The provider gave two answers to one question."))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._room -= len(name) + len(value) + 4
        if self._room < 0:
            self._stop(UpstreamTooLarge("The provider's answer has too large a head."))
        if self._is_head_done:
            self._is_clean = False  # trailers tell us nothing
            return
        assert self.exchange is not None
        headers = self.exchange.headers
        key = _names.get(name) or _header_name(name)
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        response, parser = self.exchange, self._parser
        assert response is not None and parser is not None
        status = parser.get_status_code()
        headers = response.headers
        if status < 200:
            self._interim += 1
            self._is_interim = True
            headers.clear()
            if status < 100 or status == 101 or self._interim > _MAX_INTERIM_ANSWERS:
                self._stop(UpstreamBroken("The provider's answer is not HTTP/1.1."))
            return
        response.status = status
        self._is_head_done = True
        self._frame(status, headers)
        self._room = self._caps.body_bytes
        coding = headers.get("content-encoding")
        if coding is not None:
            try:
                response.decoder = decoder_for(coding, self._caps.decompressed_bytes)
            except UpstreamError as error:
                self._stop(error)
            del headers["content-encoding"]
            headers.pop("content-length", None)
        if self._is_head:
            self._is_finished = True
            self._is_clean = False  # the parser expects a body that never comes

    def _frame(self, status: int, headers: dict[str, str]) -> None:
        """How long is the body? Two contradicting answers are none (RFC 9112 §6.3)."""
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                self._stop(UpstreamBroken("The provider's answer has conflicting framing."))
        elif length is None:
            self._until_close = status not in {204, 304}
        elif not (length.isascii() and length.isdigit()):
            self._stop(UpstreamBroken("The provider's answer has conflicting framing."))
        elif int(length) > self._caps.body_bytes:
            self._stop(UpstreamTooLarge())

    def on_body(self, data: bytes) -> None:
        size = len(data)
        self._room -= size
        if self._room < 0:
            self._stop(UpstreamTooLarge())
        response = self.exchange
        assert response is not None
        response.chunks.append(data)
        response.waiting += size

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._is_interim = False
            return
        assert self._parser is not None
        if self._is_finished or not self._parser.should_keep_alive():
            self._is_clean = False
        self._is_finished = True

    def _stop(self, fault: UpstreamError) -> None:
        """Stops the parser where it is: `data_received` finds the fault when it returns."""
        self._fault = fault
        raise fault


def _wake(response: UpstreamResponse) -> None:
    waiter = response.waiter
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
