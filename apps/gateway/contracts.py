"""What the doors and the pipeline agree on."""

from __future__ import annotations

from typing import Protocol

import msgspec

from apps.accounts.credentials import KeyRecord
from apps.billing.limits import ScopeLimits
from apps.billing.pricing import Price
from apps.gateway.snapshot.model import Alias, Client, Deployment
from apps.providers.adapters.contract import Endpoint, Operation

Headers = list[tuple[bytes, bytes]]


class ClientGone(Exception):
    """The client hung up; there is nobody to answer. Its books are closed already."""


class Outlet(Protocol):
    """A door's way out. One `start`, any number of `write`, one `end`."""

    is_started: bool
    is_direct: bool  # bytes can be pushed without a turn of the event loop

    async def start(self, status: int, headers: Headers) -> None: ...
    async def write(self, data: bytes) -> None:
        """Hand on a part; waits while the client reads slowly."""
        ...

    async def end(self, data: bytes) -> None: ...

    def push(self, data: bytes) -> bool:
        """`write` without waiting, where `is_direct`; True: it is full, await `drained` first."""
        ...

    async def drained(self) -> None: ...

    def watch(self) -> None:
        """From now on a client that hangs up cancels the running task."""
        ...

    def unwatch(self) -> bool:
        """Stop watching. True: the client has hung up."""
        ...


class GatewayRequest:
    """One request as a door hands it over: bytes and the few fields that decisions need."""

    __slots__ = (
        "accept_ms",
        "alias",
        "body",
        "choices",
        "client_request_id",
        "id",
        "max_output_tokens",
        "operation",
        "started",
        "stream",
        "token",
        "wants_usage",
    )

    def __init__(
        self,
        *,
        id: bytes,
        operation: Operation,
        token: bytes | None,
        body: bytes,
        started: float,
        accept_ms: int,
        client_request_id: bytes | None = None,
    ) -> None:
        self.id = id
        self.operation: Operation = operation
        self.token = token
        self.body = body
        self.started = started  # clock.monotonic
        self.accept_ms = accept_ms  # milliseconds since the epoch
        self.client_request_id = client_request_id
        self.alias = ""
        self.stream = False
        self.wants_usage = False
        self.choices = 1
        self.max_output_tokens: int | None = None  # of one choice, as the client set it


class Identity(msgspec.Struct, frozen=True):
    """Who calls, and every rule that binds the call."""

    key: KeyRecord
    client: Client
    scopes: tuple[ScopeLimits, ...]
    has_budget: bool


class Candidate(msgspec.Struct, frozen=True):
    """A deployment that may serve the request, with the price that would apply."""

    deployment: Deployment
    endpoint: Endpoint
    weight: int
    price: Price | None


class Offer(msgspec.Struct, frozen=True):
    """The candidates of one alias at the prices of one book, until a price changes."""

    alias: Alias
    candidates: tuple[Candidate, ...]
    is_priced: bool  # every candidate has a price
    valid_until_s: float
