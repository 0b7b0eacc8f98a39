"""What rows add up to by the hour, as ingest adds it to the sums that are there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from apps.usage.latency_buckets import bucket_of
from apps.usage.rows import RequestRow, text_of

_HOUR_MS: Final = 3_600_000
_FAILED: Final = frozenset(("error", "interrupted"))


class RollupKey(NamedTuple):
    """What reports group by; 0 is nobody and nothing."""

    hour: str
    team_id: int
    client_id: int
    key_id: int
    user_id: int
    alias: str
    deployment_id: int
    provider_id: int


class TagKey(NamedTuple):
    hour: str
    tag: str
    team_id: int
    client_id: int
    alias: str


class LatencyKey(NamedTuple):
    hour: str
    team_id: int
    client_id: int
    alias: str
    deployment_id: int
    kind: str
    bucket: int


class RollupSums(msgspec.Struct):
    """The sums of a HourlyRollup or a TagHour, by the names of their columns."""

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    duration_ms: int = 0
    searches: int = 0
    cost_nano: int = 0
    charged_nano: int = 0
    latency_ms_sum: int = 0
    latency_count: int = 0
    first_token_ms_sum: int = 0
    first_token_count: int = 0

    def add(self, row: RequestRow) -> None:
        self.requests += 1
        if row.outcome in _FAILED:
            self.errors += 1
        self.input_tokens += row.input_tokens
        self.output_tokens += row.output_tokens
        self.cached_input_tokens += row.cached_input_tokens
        self.cache_write_tokens += row.cache_write_tokens
        self.cache_write_1h_tokens += row.cache_write_1h_tokens
        self.reasoning_tokens += row.reasoning_tokens
        self.audio_input_tokens += row.audio_input_tokens
        self.audio_output_tokens += row.audio_output_tokens
        self.image_input_tokens += row.image_input_tokens
        self.image_output_tokens += row.image_output_tokens
        self.images += row.images
        self.duration_ms += row.duration_ms
        self.searches += row.searches
        self.cost_nano += row.cost_nano
        self.charged_nano += row.charged_nano
        if row.latency_ms is not None:
            self.latency_ms_sum += row.latency_ms
            self.latency_count += 1
        if row.first_token_ms is not None:
            self.first_token_ms_sum += row.first_token_ms
            self.first_token_count += 1


class Count(msgspec.Struct):
    """The sum of a LatencyHour."""

    count: int = 0


class Sums(msgspec.Struct):
    """All that a batch adds."""

    groups: dict[RollupKey, RollupSums] = {}
    tags: dict[TagKey, RollupSums] = {}
    latencies: dict[LatencyKey, Count] = {}


class Added(NamedTuple):
    """A row with what its columns hold as text only."""

    row: RequestRow
    at_ms: int
    tags: tuple[tuple[str, str], ...]


def of(added: Iterable[Added]) -> Sums:
    """A late row counts in the hour in which its request began."""
    sums = Sums()
    hours: dict[int, str] = {}
    for row, at_ms, tags in added:
        hour_ms = at_ms - at_ms % _HOUR_MS
        hour = hours.get(hour_ms) or hours.setdefault(hour_ms, text_of(hour_ms))
        key = RollupKey(
            hour,
            row.team_id,
            row.client_id,
            row.key_id,
            row.user_id or 0,
            row.alias,
            row.deployment_id or 0,
            row.provider_id or 0,
        )
        group = sums.groups.get(key)
        if group is None:
            group = sums.groups[key] = RollupSums()
        group.add(row)
        for name, value in tags:
            tag = TagKey(hour, f"{name}={value}", row.team_id, row.client_id, row.alias)
            sums.tags.setdefault(tag, RollupSums()).add(row)
        if row.latency_ms is not None:
            _count(sums.latencies, hour, row, "total", row.latency_ms)
        if row.first_token_ms is not None:
            _count(sums.latencies, hour, row, "first", row.first_token_ms)
    return sums


def _count(counts: dict[LatencyKey, Count], hour: str, row: RequestRow, kind: str, ms: int) -> None:
    key = LatencyKey(
        hour,
        row.team_id,
        row.client_id,
        row.alias,
        row.deployment_id or 0,
        kind,
        bucket_of(ms),
    )
    found = counts.get(key)
    if found is None:
        found = counts[key] = Count()
    found.count += 1
