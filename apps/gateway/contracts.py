"""What the doors and the pipeline agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from apps.accounts.credentials import KeyRecord
from apps.billing.limits import ScopeLimits
from apps.billing.pricing import Price
from apps.gateway.snapshot.model import Alias, Client, Deployment
from apps.providers.adapters.contract import Endpoint, Operation

if TYPE_CHECKING:
    from apps.gateway.tracing import Trace
else:
    Trace = Any  # msgspec resolves annotations, and tracing imports this module

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


class GatewayRequest(msgspec.Struct, gc=False, kw_only=True):
    """One request as a door hands it over: bytes and the few fields that decisions need."""

    id: bytes  # ours: 16 bytes, UUID version 7
    operation: Operation
    body: bytes
    started: float  # clock.monotonic
    accept_ms: int  # milliseconds since the epoch
    token: bytes | None = None
    peer: str = ""  # the address at the other end of the connection
    forwarded: bytes = b""  # what proxies say of the addresses before it
    client_request_id: bytes | None = None
    key: KeyRecord | None = None  # from step 2 on
    # What `receive` reads from the body:
    alias: str = ""
    stream: bool = False
    wants_usage: bool = False
    choices: int = 1
    max_output_tokens: int | None = None  # of one choice, as the client set it
    tags: tuple[tuple[str, str], ...] = ()  # from the header, then also from the body
    is_dry_run: bool = False  # by its header: tell what would happen, and do nothing
    # For those who look on:
    trace: Trace | None = None  # where it is sampled
    is_told: bool = False  # its trace and its line of the log are out

    def __repr__(self) -> str:
        return f"GatewayRequest({self.id.hex()})"  # the rest is the client's secret and its prompt


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
    labels: tuple[tuple[bytes, bytes], ...] = ()  # headers that say what served the request
    scopes: tuple[ScopeLimits, ...] = ()  # of its provider, where that has quotas


class Offer(msgspec.Struct, frozen=True):
    """The candidates of one alias at the prices of one book, until a price changes."""

    alias: Alias
    candidates: tuple[Candidate, ...]
    is_priced: bool  # every candidate has a price
    most_output: int  # tokens of one choice, where the client sets no cap
    valid_until_s: float
    limits: ScopeLimits | None = None  # of the alias, where it has quotas
