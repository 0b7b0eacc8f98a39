"""Low-cardinality figures of the data plane, cheap enough for every request.

Plain numbers in dictionaries; `exposition` renders them for Prometheus (text format 0.0.4).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Histogram:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_S) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(LATENCY_S, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        cumulated = 0
        rows: list[tuple[str, float]] = []
        for bound, count in zip((*LATENCY_S, float("inf")), self.counts, strict=True):
            cumulated += count
            rows.append(("+Inf" if bound == float("inf") else str(bound), cumulated))
        return rows


class Metrics:
    """One process's figures. Labels: alias, outcome code, deployment; never keys or clients."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str], int] = {}
        self.refusals: dict[str, int] = {}
        self.attempts: dict[tuple[str, str], int] = {}
        self.tokens: dict[tuple[str, str], int] = {}
        self.charged_nano: dict[str, int] = {}
        self.latency: dict[str, Histogram] = {}
        self.first_token: dict[str, Histogram] = {}
        self.gauges: dict[str, float] = {}

    def refused(self, code: str) -> None:
        """A request that ended before anything was sent to a provider."""
        self.refusals[code] = self.refusals.get(code, 0) + 1

    def attempted(self, deployment: str, code: str) -> None:
        key = (deployment, code)
        self.attempts[key] = self.attempts.get(key, 0) + 1

    def finished(
        self,
        alias: str,
        outcome: str,
        *,
        latency_s: float,
        first_token_s: float,
        input_tokens: int,
        output_tokens: int,
        charged_nano: int,
    ) -> None:
        """A request that was sent, however it ended; `first_token_s` is negative without one."""
        key = (alias, outcome)
        self.requests[key] = self.requests.get(key, 0) + 1
        histogram = self.latency.get(alias)
        if histogram is None:
            histogram = self.latency[alias] = Histogram()
            self.first_token[alias] = Histogram()
        histogram.observe(latency_s)
        if first_token_s >= 0:
            self.first_token[alias].observe(first_token_s)
        if input_tokens or output_tokens:
            tokens = self.tokens
            tokens[(alias, "input")] = tokens.get((alias, "input"), 0) + input_tokens
            tokens[(alias, "output")] = tokens.get((alias, "output"), 0) + output_tokens
        if charged_nano:
            self.charged_nano[alias] = self.charged_nano.get(alias, 0) + charged_nano

    def exposition(self) -> bytes:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        yield _counter(
            "chatvault_requests", "Requests sent to providers.", ("alias", "outcome"), self.requests
        )
        yield _counter(
            "chatvault_refusals",
            "Requests refused before a provider was called.",
            ("code",),
            {(code,): count for code, count in self.refusals.items()},
        )
        yield _counter(
            "chatvault_attempts", "Calls to providers.", ("deployment", "code"), self.attempts
        )
        yield _counter("chatvault_tokens", "Tokens used.", ("alias", "kind"), self.tokens)
        yield _counter(
            "chatvault_charged_nano_usd",
            "Charged to clients, in nano-USD.",
            ("alias",),
            {(alias,): nano for alias, nano in self.charged_nano.items()},
        )
        for name, text, histograms in (
            ("chatvault_request_seconds", "Time from request to last byte.", self.latency),
            ("chatvault_first_token_seconds", "Time to the first token.", self.first_token),
        ):
            family = HistogramMetricFamily(name, text, labels=("alias",))
            for alias, histogram in histograms.items():
                family.add_metric((alias,), histogram.buckets(), histogram.total)
            yield family
        for name, value in self.gauges.items():
            yield GaugeMetricFamily(name, name.replace("_", " "), value=value)


def _counter(name: str, text: str, labels: tuple[str, ...], rows: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in list(rows.items()):
        family.add_metric(values, count)
    return family
