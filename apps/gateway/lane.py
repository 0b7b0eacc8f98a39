"""The fast lane: hot requests go from uvicorn's parser straight to the pipeline.

ASGI costs a hot request two dozen microseconds: a scope, an event, three messages, a check of
every header we wrote ourselves and two writes. `LaneProtocol` is uvicorn's own protocol (exact
pin, see requirements) and leaves everything but the endpoints of `http.OPERATIONS` to it; what it
takes over it answers with one write. Errors, order and bodies are those of the ASGI door: both
call `http.answer`, and one contract test holds all doors together.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from apps.gateway import lifecycle
from apps.gateway.exchange import Exchange
from apps.gateway.http import OPERATIONS
from chatvault.lib.errors import Overloaded

_LANES = {path.encode(): path for path in OPERATIONS}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_HEAD_BYTES = 64 * 1024
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\nretry-after: 1\r\nconnection: close\r\n\r\n%b"
)
FAREWELL_S = 0.5  # from the end of our side of a connection to its close


class BadHead(ValueError):
    """A head that we and a proxy in front could read differently."""


class LaneProtocol(HttpToolsProtocol):
    """One client connection. Requests that are pipelined take the ordinary way."""

    _lanes = _LANES
    most_connections = 2**31  # of one process
    is_open_to_pages = False  # of other sites: CORS, which only the ordinary way knows of
    stall_s = 60.0  # for which a client may take nothing of its answer
    _stall: asyncio.TimerHandle | None = None
    _idle_since = 0.0  # loop time; 0.0 while a request runs
    _is_in_head = False
    _hosts = 0  # Host fields of the head
    _head_bytes = 0  # of a head that takes more than one read
    _head_at = 0.0  # loop time of its first read
    _body_mark: tuple[object, int] | None = None  # a body that was not whole when last looked
    is_leaving = False  # the process ends: the next answer is the last one here
    _has_left = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._turn_away()
            return
        self._idle_since = self.loop.time()
        self._arm(self.timeout_keep_alive)

    def _turn_away(self) -> None:
        """One connection too many: said before anything is read."""
        if (plane := lifecycle.running()) is not None:
            plane.metrics.shed("connections")
        self._has_left = True
        body = msgspec.json.encode(Overloaded().openai())
        self.transport.write(_FULL % (len(body), body))
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._has_left:
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._is_in_head or self.headers:  # headers after the head are trailers
            if not self._head_bytes:
                self._head_at = self.loop.time()
            self._head_bytes += len(data)
            if self._head_bytes > (self.config.h11_max_incomplete_event_size or MAX_HEAD_BYTES):
                self._is_in_head, self.headers = False, []
                self.send_400_response("The request's head is too large.")

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """An offer to change the protocol may be ignored (RFC 9110 §7.8). The parser has stopped
        at it, so another one is given the same head without it."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.send_400_response("Invalid HTTP request received.")
            return
        lines = [b"%b %b HTTP/1.1" % (method, self.url)]
        for name, value in self.headers:
            if name == b"connection":
                lines += [b"connection: close"] if b"close" in value.lower() else []
            elif name not in (b"upgrade", b"http2-settings"):
                lines.append(b"%b: %b" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def _unset_keepalive_if_required(self) -> None:
        """One timer a connection: it looks when it fires, so that requests cost no timer calls."""
        self._idle_since = 0.0
        if self.transport.is_closing():
            super()._unset_keepalive_if_required()

    def on_lane_complete(self) -> None:
        """An exchange has ended: pipelined requests go on, or the connection idles."""
        self.server_state.total_requests += 1
        if self.pipeline or self.flow.read_paused:
            self.on_response_complete()
        elif not self.transport.is_closing():
            self._idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._arm(self.timeout_keep_alive)

    def on_response_complete(self) -> None:
        """An ordinary request has ended; uvicorn arms a timer of its own."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._idle_since = self.loop.time()

    def _arm(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self.transport.is_closing():
            return
        idle_s = self._waited_s()
        if idle_s >= self.timeout_keep_alive:
            self.transport.close()
        else:
            self._arm(self.timeout_keep_alive - idle_s)

    def _waited_s(self) -> float:
        """For how long the client owes us something: a request, the rest of its head or body."""
        cycle: object = self.cycle
        if self._idle_since:
            return self.loop.time() - self._idle_since
        if isinstance(cycle, Exchange) and cycle.task is None:
            before, self._body_mark = self._body_mark, (cycle, cycle.size)
            return self.timeout_keep_alive if before == self._body_mark else 0.0
        if self._is_in_head and (self.cycle is None or self.cycle.response_complete):
            return self.loop.time() - self._head_at
        return 0.0

    def pause_writing(self) -> None:
        """The client reads more slowly than the provider sends; how long may it not read at all?"""
        super().pause_writing()
        unread = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(self.stall_s, self._look_at_stall, unread)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _look_at_stall(self, before: int) -> None:
        """Nothing was taken: a client that is not there any more, or means to hold what it has."""
        if self.transport.is_closing():
            return
        unread = self.transport.get_write_buffer_size()
        if unread < before:
            self._stall = self.loop.call_later(self.stall_s, self._look_at_stall, unread)
        else:
            self._stall = None
            self.transport.abort()

    def shutdown(self) -> None:
        """The process ends. What runs goes on; an answer that has not begun tells the client that
        it is the last, and so does that to a request which comes until `leave`."""
        self.is_leaving = True
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            return
        has_begun = cycle.is_started if type(cycle) is Exchange else cycle.response_started
        if not has_begun:
            cycle.keep_alive = False

    def leave(self) -> None:
        """No more requests, if none is on its way. The client sees the end of our side first, so
        that what it sends now is not answered by a reset."""
        if self._idle_since and not self._has_left and not self.transport.is_closing():
            self._has_left = True
            self.transport.write_eof()
            self.loop.call_later(FAREWELL_S, self.transport.close)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._is_in_head = True
        self._hosts = 0
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """A name with `_` is dropped: behind us it may be taken for the one with `-`, which only a
        proxy may say (CVE-2026-3902)."""
        name = name.lower()
        if b"_" in name:
            return
        if name == b"host":
            self._hosts += 1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Raises BadHead, which ends the connection with 400."""
        self._is_in_head = False
        version = self.parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise BadHead("a version that is not spoken here")
        if self._hosts != 1 and (self._hosts or version == "1.1"):
            raise BadHead("exactly one Host (RFC 9112 §3.2)")
        if self.url[:1] != b"/":  # we are no proxy: a host in the target would be a second Host
            raise BadHead("the target must be a path (RFC 9112 §3.2.1)")
        if self.parser.should_upgrade():
            return
        path = self._lanes.get(self.url)
        before = self.cycle
        is_free = before is None or before.response_complete
        if (
            path is None
            or not is_free
            or self.parser.get_method() != b"POST"
            or version != "1.1"
            or self.limit_concurrency is not None
            or (self.is_open_to_pages and any(name == b"origin" for name, _ in self.headers))
        ):
            self._take_the_ordinary_way()
            return
        headers, self.headers = self.headers, []  # trailers are no headers
        stays = self.parser.should_keep_alive() and not self.is_leaving
        exchange = Exchange(self, path, headers, stays)
        self.cycle = exchange  # type: ignore[assignment]
        if self.expect_100_continue:
            self.transport.write(_CONTINUE)

    def _take_the_ordinary_way(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.expect_100_continue = expects
        self.headers.extend(headers)
        super().on_headers_complete()
        if self.is_leaving:
            self.cycle.keep_alive = False
        self.headers = []

    def on_body(self, body: bytes) -> None:
        if type(self.cycle) is Exchange:
            self.cycle.take(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if type(cycle) is Exchange:
            if not cycle.response_complete and cycle.task is None:
                cycle.begin()
        elif cycle is not None:
            super().on_message_complete()


class SlowProtocol(LaneProtocol):
    """A connection to a process without a data plane: everything takes the ordinary way."""

    _lanes: dict[bytes, str] = {}
