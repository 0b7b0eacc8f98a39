"""The books of one request while it runs: what is reserved, tried, used and owed."""

from __future__ import annotations

from typing import Literal

import msgspec

from apps.billing.limits import Headroom
from apps.billing.pricing import Bill
from apps.gateway.contracts import Candidate, GatewayRequest, Headers, Identity, Offer
from apps.providers.adapters.contract import Call, Usage
from chatvault.lib import clock

NOTHING = Usage()

Outcome = Literal["ok", "error", "cancelled", "interrupted"]
UsageSource = Literal["provider", "estimated", "none"]


class Meter(msgspec.Struct, gc=False):
    """Opened by `admit`, written by `call` and `stream`, closed exactly once by `settle`."""

    request: GatewayRequest
    identity: Identity
    offer: Offer
    headroom: Headroom
    revision: int
    prompt_tokens: int  # estimated
    output_cap: int  # output tokens of all choices that the reservation covers
    reserved_nano: int
    is_limited: bool = False  # there is a reservation
    is_open: bool = True
    is_sent: bool = False  # an intent is in the journal: something may have been sent
    attempts: int = 0
    candidate: Candidate | None = None
    outcome: Outcome = "error"
    http_status: int = 500
    error_code: str = ""
    first_token_at: float = -1.0
    usage: Usage = NOTHING
    usage_source: UsageSource = "none"
    provider_hold: bytes = b""  # the reservation of the running call, where its provider has quotas
    service_tier: str = ""  # in which the provider served it, where it said so
    error_detail: str = ""
    attempt_at: float = -1.0  # when the running call began
    first_byte_at: float = -1.0  # of the last call, where something of the answer came
    bill: Bill | None = None  # set when the books are closed
    budget_head: Headers = []  # what stages of budgets have to say

    def call_for(self, candidate: Candidate) -> Call:
        """The request as the candidate's adapter needs it."""
        request = self.request
        cap = None
        if request.max_output_tokens is None and self.identity.has_budget:
            cap = self.output_cap // request.choices
        return Call(
            operation=request.operation,
            alias=request.alias,
            body=request.body,
            stream=request.stream,
            wants_usage=request.wants_usage,
            max_output_tokens=cap if request.operation != "embeddings" else None,
            request_id=request.id.hex(),
        )

    def first_token(self) -> None:
        if self.first_token_at < 0:
            self.first_token_at = clock.monotonic()

    def succeed(self, status: int = 200) -> None:
        self.outcome = "ok"
        self.http_status = status
        self.error_code = self.error_detail = ""

    def fail(self, outcome: Outcome, status: int, code: str) -> None:
        self.outcome = outcome
        self.http_status = status
        self.error_code = code

    def answered(self) -> None:
        """The head of the provider's answer is here."""
        self.first_byte_at = clock.monotonic()

    @property
    def first_byte_ms(self) -> int:
        """From the start of the last call; -1: nothing came."""
        took_s = self.first_byte_at - self.attempt_at
        return int(took_s * 1000) if self.first_byte_at >= 0 <= took_s else -1

    def use(self, usage: Usage, source: UsageSource) -> None:
        self.usage = usage
        self.usage_source = source

    def estimate(self, output_tokens: int) -> None:
        """The provider told no usage that is valid: what was delivered is owed."""
        self.use(Usage(input_tokens=self.prompt_tokens, output_tokens=output_tokens), "estimated")
