"""What the data plane counts, cheap enough for every request.

Plain numbers, written by the event loop alone. `figures` may be called from any thread: it
copies, each time in one step of the interpreter. Labels are alias, deployment, provider, family
and code; never keys, clients or users. What a label can be is bounded: the rest is `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from chatvault.lib.metrics.families import (
    OTHER,
    Family,
    Figures,
    Histogram,
    Number,
    Peak,
    Row,
    Rows,
    Values,
    numbers,
    single,
)

if TYPE_CHECKING:
    from apps.billing.limits import Headroom
    from apps.gateway.snapshot.model import Deployment
    from apps.providers.adapters.contract import Usage

MAX_SERVED: Final = 256  # pairs of alias and deployment
MAX_CODES: Final = 64  # of one pair, and of all refusals

LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SPEED = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 250.0, 500.0, 1000.0)
WAIT_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_SERVED = ("alias", "deployment", "provider")
_PAIR = ("alias", "deployment")
_CALLED = ("deployment", "provider", "family")

REQUESTS = Family(
    "chatvault_requests_total",
    "counter",
    "Requests that were sent to a provider, by how they ended.",
    (*_SERVED, "result", "code"),
)
REFUSALS = Family(
    "chatvault_refusals_total",
    "counter",
    "Requests that were refused before a provider was called.",
    ("result", "code"),
)
DURATION = Family(
    "chatvault_request_duration_seconds",
    "histogram",
    "Time from a request's arrival to its last byte, of requests sent to a provider.",
    _PAIR,
    LATENCY_S,
)
FIRST_TOKEN = Family(
    "chatvault_time_to_first_token_seconds",
    "histogram",
    "Time from a streamed request's arrival to its first token.",
    _PAIR,
    LATENCY_S,
)
OUTPUT_SPEED = Family(
    "chatvault_output_tokens_per_second",
    "histogram",
    "Output tokens a second of one stream, after its first token.",
    _PAIR,
    SPEED,
)
TOKENS = Family(
    "chatvault_tokens_total",
    "counter",
    "Tokens used. Kinds do not overlap: input is without cached_input and cache_write, output "
    "without reasoning.",
    (*_SERVED, "kind"),
)
COST = Family(
    "chatvault_cost_usd_total",
    "counter",
    "What requests cost at list price, in US dollars.",
    _SERVED,
    is_nano=True,
)
CHARGED = Family(
    "chatvault_charged_usd_total",
    "counter",
    "What clients were charged for requests, in US dollars.",
    _SERVED,
    is_nano=True,
)
ATTEMPTS = Family("chatvault_attempts_total", "counter", "Calls to providers.", (*_CALLED, "code"))
RETRIES = Family(
    "chatvault_retries_total",
    "counter",
    "Calls to a deployment that had just failed the same request.",
    _CALLED,
)
FALLBACKS = Family(
    "chatvault_fallbacks_total",
    "counter",
    "Calls to a deployment because another one had failed the same request.",
    _CALLED,
)
QUOTA = Family(
    "chatvault_quota_used_ratio",
    "gauge",
    "How much of the tightest quota was used at an admission; the highest of the last 15 s.",
    ("unit",),
    joined="max",
)
LOOP_LAG = Family(
    "chatvault_event_loop_lag_seconds",
    "gauge",
    "How late the event loop woke up; the worst of the last 15 s.",
    ("process",),
    joined="max",
)
QUEUE_WAIT = Family(
    "chatvault_queue_wait_seconds",
    "histogram",
    "Time that requests waited for admission under load.",
    (),
    WAIT_S,
)
SHED = Family(
    "chatvault_shed_total", "counter", "Requests turned away because of load.", ("reason",)
)

_GAUGES: Final = (
    Family("chatvault_requests_running", "gauge", "Requests whose books are open."),
    Family("chatvault_streams_running", "gauge", "Streamed requests whose books are open."),
    Family("chatvault_queue_length", "gauge", "Requests that wait for admission."),
    Family("chatvault_draining", "gauge", "Processes that finish their requests to stop."),
)
GAUGES: Final = {family.name: family for family in _GAUGES}
"""Gauges without labels that other parts set by name: `plane.metrics.gauges[name] = value`."""

FAMILIES: Final = (
    REQUESTS, REFUSALS, DURATION, FIRST_TOKEN, OUTPUT_SPEED, TOKENS, COST, CHARGED, ATTEMPTS,
    RETRIES, FALLBACKS, QUOTA, LOOP_LAG, QUEUE_WAIT, SHED, *GAUGES.values(),
)  # fmt: skip


class _Served:
    """The figures of one pair of alias and deployment."""

    __slots__ = (
        "cache_write", "cached", "charged_nano", "cost_nano", "duration", "failed", "first_token",
        "input", "labels", "ok", "output", "reasoning", "speed",
    )  # fmt: skip

    def __init__(self, labels: tuple[str, str, str]) -> None:
        self.labels = labels
        self.ok = 0
        self.failed: dict[Values, int] = {}
        self.duration = Histogram(LATENCY_S)
        self.first_token = Histogram(LATENCY_S)
        self.speed = Histogram(SPEED)
        self.input = self.output = self.cached = self.cache_write = self.reasoning = 0
        self.cost_nano = self.charged_nano = 0

    def requests(self) -> Iterable[tuple[Values, Row]]:
        if self.ok:
            yield (*self.labels, "ok", "ok"), (self.ok,)
        for (result, code), count in list(self.failed.items()):
            yield (*self.labels, result, code), (count,)

    def tokens(self) -> Iterable[tuple[Values, Row]]:
        for kind, count in (
            ("input", self.input - self.cached - self.cache_write),
            ("cached_input", self.cached),
            ("cache_write", self.cache_write),
            ("output", self.output - self.reasoning),
            ("reasoning", self.reasoning),
        ):
            if count > 0:
                yield (*self.labels, kind), (count,)


class Metrics:
    """One process's figures."""

    def __init__(self) -> None:
        self.gauges: dict[str, float] = dict.fromkeys(GAUGES, 0)
        self.queue_wait = Histogram(WAIT_S)
        self.loop_lag = Peak()
        self.request_quota = Peak()
        self.token_quota = Peak()
        self._served: dict[tuple[str, str], _Served] = {}
        self._refusals: dict[Values, int] = {}
        self._attempts: dict[Values, int] = {}
        self._retries: dict[Values, int] = {}
        self._fallbacks: dict[Values, int] = {}
        self._shed: dict[Values, int] = {}
        self._ok_attempts: dict[str, Values] = {}

    def refused(self, code: str, status: int) -> None:
        """A request that ended before anything was sent to a provider."""
        _count(self._refusals, (_result("error", status), code))

    def admitted(self, headroom: Headroom) -> None:
        """How near the tightest quotas are."""
        limit = headroom.limit_requests
        if limit:
            share = 1 - headroom.remaining_requests / limit  # type: ignore[operator]
            if share > self.request_quota.value:  # noqa: PLR1730 - max() takes as long as all else
                self.request_quota.value = share
        limit = headroom.limit_tokens
        if limit:
            share = 1 - headroom.remaining_tokens / limit  # type: ignore[operator]
            if share > self.token_quota.value:  # noqa: PLR1730 - max() takes as long as all else
                self.token_quota.value = share

    def attempted(self, deployment: Deployment, code: str) -> None:
        """A call that did not end well; those that did are counted when the request is."""
        _count(self._attempts, (*_called(deployment), code), MAX_SERVED * 4)

    def tried_again(self, deployment: Deployment, *, is_same: bool) -> None:
        counts = self._retries if is_same else self._fallbacks
        _count(counts, _called(deployment), MAX_SERVED)

    def shed(self, reason: str) -> None:
        """A request that was turned away because of load; `reason` is one of a few words."""
        _count(self._shed, (reason,))

    def finished(  # noqa: PLR0917 - for every request: names would cost
        self,
        alias: str,
        deployment: Deployment,
        outcome: str,
        status: int,
        code: str,
        latency_s: float,
        first_token_s: float,
        usage: Usage,
        cost_nano: int,
        charged_nano: int,
    ) -> None:
        """A request that was sent, however it ended; `first_token_s` is negative without one."""
        served = self._served.get((alias, deployment.name))
        if served is None:
            served = self._serve(alias, deployment)
        if code:
            _count(served.failed, (_result(outcome, status), code))
        else:
            served.ok += 1
        histogram = served.duration
        histogram.counts[bisect_left(LATENCY_S, latency_s)] += 1
        histogram.total += latency_s
        output = usage.output_tokens
        if first_token_s >= 0:
            served.first_token.observe(first_token_s)
            if output > 1 and latency_s > first_token_s:
                served.speed.observe((output - 1) / (latency_s - first_token_s))
        served.input += usage.input_tokens
        served.output += output
        if usage.cached_input_tokens or usage.cache_write_tokens or usage.cache_write_1h_tokens:
            served.cached += usage.cached_input_tokens
            served.cache_write += usage.cache_write_tokens + usage.cache_write_1h_tokens
        served.reasoning += usage.reasoning_tokens
        served.cost_nano += cost_nano
        served.charged_nano += charged_nano

    def _serve(self, alias: str, deployment: Deployment) -> _Served:
        self._ok_attempts.setdefault(deployment.name, (*_called(deployment), "ok"))
        key, labels = (alias, deployment.name), (alias, deployment.name, deployment.provider)
        if len(self._served) >= MAX_SERVED:
            key, labels = (OTHER, OTHER), (OTHER, OTHER, OTHER)
            if key in self._served:
                return self._served[key]
        served = self._served[key] = _Served(labels)
        return served

    def figures(self) -> Figures:
        served = list(self._served.values())
        yield REQUESTS, dict(row for one in served for row in one.requests())
        yield TOKENS, dict(row for one in served for row in one.tokens())
        yield COST, {one.labels: (one.cost_nano,) for one in served}
        yield CHARGED, {one.labels: (one.charged_nano,) for one in served}
        yield DURATION, _rows(served, lambda one: one.duration)
        yield FIRST_TOKEN, _rows(served, lambda one: one.first_token)
        yield OUTPUT_SPEED, _rows(served, lambda one: one.speed)
        yield REFUSALS, numbers(self._refusals)
        yield ATTEMPTS, self._all_attempts(served)
        yield RETRIES, numbers(self._retries)
        yield FALLBACKS, numbers(self._fallbacks)
        yield QUEUE_WAIT, {(): self.queue_wait.row()}
        yield SHED, numbers(self._shed)
        quotas = {"requests": self.request_quota.read(), "tokens": self.token_quota.read()}
        yield QUOTA, {(unit,): (share,) for unit, share in quotas.items()}
        for name, value in list(self.gauges.items()):
            yield GAUGES.get(name) or Family(name, "gauge", name), single(value)

    def _all_attempts(self, served: list[_Served]) -> Rows:
        rows: dict[Values, Row] = dict(numbers(self._attempts))
        for one in served:
            if one.ok:
                values = self._ok_attempts.get(one.labels[1], (OTHER,) * 3 + ("ok",))
                known: Number = rows[values][0] if values in rows else 0
                rows[values] = (known + one.ok,)
        return rows


def _result(outcome: str, status: int) -> str:
    """Whose fault it was. A stream that broke off had begun with status 200."""
    if outcome != "error":
        return outcome
    return "client_error" if 400 <= status < 500 else "server_error"


def _called(deployment: Deployment) -> tuple[str, str, str]:
    return deployment.name, deployment.provider, deployment.family


def _count(counts: dict[Values, int], key: Values, most: int = MAX_CODES) -> None:
    """Codes can be a provider's own: how many there can be is bounded here."""
    if key not in counts and len(counts) >= most:
        key = (OTHER,) * len(key)
    counts[key] = counts.get(key, 0) + 1


def _rows(served: list[_Served], of: Callable[[_Served], Histogram]) -> Rows:
    return {one.labels[:2]: row for one in served if any((row := of(one).row())[:-1])}
