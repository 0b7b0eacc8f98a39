"""Step 5. Call a deployment; on failure the next one, until something can go to the client."""

from __future__ import annotations

import math
from contextlib import AbstractAsyncContextManager
from email.utils import parsedate_to_datetime

from apps.gateway.contracts import Candidate
from apps.gateway.meter import Meter
from apps.gateway.plane import DataPlane, deadlines_of
from apps.gateway.steps.record import record_attempt, record_end_of_attempt
from apps.providers.adapters.contract import (
    Adapter,
    Answer,
    Call,
    StreamReader,
    UpstreamAnswer,
    UpstreamRequest,
)
from apps.providers.adapters.registry import get_adapter
from apps.providers.upstream import UpstreamResponse
from chatvault.lib import clock
from chatvault.lib.errors import (
    NoDeployment,
    ProviderBudgetExhausted,
    RateLimited,
    UpstreamError,
    UpstreamForbidden,
    UpstreamInvalid,
    UpstreamTimedOut,
)


class Upstream:
    """A call whose answer can be delivered: a whole one, or the beginning of a stream."""

    __slots__ = ("_performing", "_source", "answer", "call", "first", "reader", "tail")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.answer: Answer | None = None
        self.reader: StreamReader | None = None
        self.first = b""  # of a stream: what may go to the client at once
        self.tail: bytes | None = None  # of a stream that has ended: what waits for the books
        self._source: UpstreamAnswer | None = None
        self._performing: AbstractAsyncContextManager[UpstreamAnswer] | None = None

    async def open(
        self,
        adapter: Adapter,
        candidate: Candidate,
        request: UpstreamRequest | None,
        meter: Meter,
        plane: DataPlane,
    ) -> None:
        """Send it and read as far as the first deliverable bytes. Raises UpstreamError."""
        if request is None:
            assert adapter.perform is not None
            self._performing = adapter.perform(self.call, candidate.endpoint, plane.pool)
            source: UpstreamAnswer = await self._performing.__aenter__()
        else:
            deployment = candidate.deployment
            deadlines = plane.view.deadlines.get(deployment.id)
            if deadlines is None:  # it was taken out of service since the request was admitted
                deadlines = deadlines_of(deployment, plane.options)
            source = await plane.pool.send(request, deadlines)
        self._source = source
        meter.answered()
        if source.status >= 300:
            raise adapter.read_error(source.status, source.headers, await source.read())
        if not self.call.stream:
            self.answer = adapter.read_answer(self.call, await source.read())
            return
        self.reader = adapter.open_stream(self.call, candidate.endpoint)
        if not source.headers.get("content-type", "").startswith("text/event-stream"):
            self.reader.feed(await source.read())  # an error object is told as what it is
            raise UpstreamInvalid("The provider answered a streamed request without a stream.")
        while not self.first and self.tail is None:
            self.first = await self.next()

    async def next(self) -> bytes:
        """More bytes of a stream for the client, perhaps none; at its end there is a `tail`.

        Raises UpstreamBroken where the provider's body ends before the stream is complete.
        """
        assert self._source is not None and self.reader is not None
        data = await self._source.next_chunk()
        if data:
            return self.reader.feed(data)
        self.tail = self.reader.finish()
        return b""

    @property
    def source(self) -> UpstreamResponse | None:
        """The provider's connection, where it is one of ours and can be piped from."""
        return self._source if isinstance(self._source, UpstreamResponse) else None

    async def close(self) -> None:
        """Give the connection back; one with an unread answer is closed."""
        if self._source is not None:
            self._source.close()
        if self._performing is not None:
            await self._performing.__aexit__(None, None, None)


async def call(plan: list[Candidate], meter: Meter, plane: DataPlane) -> Upstream:
    """The first of the plan that answers, of at most `max_attempts`. A provider whose quotas or
    budgets have nothing left is passed over, which is no attempt.

    Raises the last UpstreamError, RateLimited when all were passed over and a quota is one of the
    reasons, or NoDeployment.
    """
    plane.retries.earn()
    failure: UpstreamError | None = None
    full: RateLimited | None = None
    spent: ProviderBudgetExhausted | None = None
    budgets = plane.provider_limits
    for candidate in plan:
        if meter.attempts >= plane.options.max_attempts:
            break
        if failure is not None and not _may_retry(failure, candidate, meter, plane):
            break
        if budgets.left and budgets.is_spent_out(candidate.deployment.provider_id):
            plane.breaker.unused(candidate.deployment.id)
            spent = ProviderBudgetExhausted()
            continue
        if candidate.scopes:
            try:
                await _hold_provider(candidate, meter, plane)
            except RateLimited as refusal:
                full = full or refusal
                continue
        if failure is not None:
            is_same = meter.candidate is candidate
            plane.metrics.tried_again(candidate.deployment, is_same=is_same)
        try:
            return await _attempt(candidate, meter, plane)
        except UpstreamError as error:
            failure = error
            if meter.provider_hold:
                await plane.provider_limits.settle(meter)
    raise failure or full or spent or NoDeployment()


async def _hold_provider(candidate: Candidate, meter: Meter, plane: DataPlane) -> None:
    try:
        observed = await plane.provider_limits.hold(candidate, meter)
    except BaseException:
        plane.breaker.unused(candidate.deployment.id)
        raise
    if observed:
        plane.quota_counts.observed(observed, plane.view.snapshot)


def _may_retry(
    failure: UpstreamError, candidate: Candidate, meter: Meter, plane: DataPlane
) -> bool:
    """The same deployment is not asked again when it said when to, was slow, or is forbidden."""
    if not failure.retryable:
        return False
    if meter.candidate is candidate and (
        "retry-after" in failure.headers
        or isinstance(failure, UpstreamTimedOut | UpstreamForbidden)
    ):
        return False
    return plane.retries.spend()


async def _attempt(candidate: Candidate, meter: Meter, plane: DataPlane) -> Upstream:
    adapter = get_adapter(candidate.endpoint.family)
    upstream = Upstream(meter.call_for(candidate))
    request = None
    if adapter.perform is None:
        request = adapter.build_request(upstream.call, candidate.endpoint)
    trace = meter.request.trace
    if trace is not None:
        request = trace.attempt(candidate, request)
    record_attempt(candidate, meter, plane)
    try:
        await upstream.open(adapter, candidate, request, meter, plane)
    except UpstreamError as error:
        await upstream.close()
        if trace is not None:
            trace.attempt_failed(error)
        _note_failure(error, candidate, meter, plane)
        raise
    except BaseException:
        await upstream.close()
        plane.breaker.unused(candidate.deployment.id)
        raise
    plane.breaker.succeeded(candidate.deployment.id)
    return upstream


def _note_failure(
    error: UpstreamError, candidate: Candidate, meter: Meter, plane: DataPlane
) -> None:
    record_end_of_attempt(error, meter, plane)
    plane.metrics.attempted(candidate.deployment, error.public_code)
    deployment_id = candidate.deployment.id
    if error.blames_deployment:
        wait = error.headers.get("retry-after", "")
        plane.breaker.failed(deployment_id, retry_after_s=_seconds(wait))
    else:
        plane.breaker.succeeded(deployment_id)


def _seconds(retry_after: str) -> float | None:
    """Seconds or a date (RFC 9110 §10.2.3); None for what is neither."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            at = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        seconds = at.timestamp() - clock.wall_s()
    return seconds if 0 <= seconds < math.inf else None
