"""Sums of the hour: whatever comes in whatever order and batches, they are what the rows say."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import IntegerField
from django.db.models.expressions import RawSQL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.billing.models import LedgerEntry
from apps.providers.adapters.contract import Usage
from apps.usage import batch, rollups, store
from apps.usage.batch import Batch
from apps.usage.latency_buckets import (
    BOUNDS,
    MOST_MS,
    bucket_of,
    bucket_of_column,
    bucket_sql,
    middle_ms,
)
from apps.usage.models import Attempt, HourlyRollup, LatencyHour, RequestLog, TagHour
from apps.usage.names import Names
from apps.usage.open_requests import Closed, OpenRequests
from apps.usage.verify import verify
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import AT_MS, intent, settle

EXAMPLES = int(os.environ.get("CHATVAULT_TEST_EXAMPLES", "8"))
HOUR_MS = 3_600_000
counts = st.integers(0, 2**20)
tags = st.dictionaries(st.sampled_from(["env", "project", "a.b"]), st.sampled_from(["x", "y=z"]))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counts that make sense: parts are within their whole."""
    parts = [draw(st.integers(0, 1000)) for _ in range(9)]
    cached, write, write_1h, reasoning, heard, spoken, seen, drawn, more = parts
    return Usage(
        input_tokens=max(cached + write + write_1h, heard + seen) + more,
        output_tokens=reasoning + spoken + drawn + more,
        cached_input_tokens=cached,
        cache_write_tokens=write,
        cache_write_1h_tokens=write_1h,
        reasoning_tokens=reasoning,
        audio_input_tokens=heard,
        audio_output_tokens=spoken,
        image_input_tokens=seen,
        image_output_tokens=drawn,
        images=draw(st.integers(0, 4)),
        duration_ms=draw(counts),
        searches=draw(st.integers(0, 9)),
    )


@st.composite
def requests(draw: st.DrawFn) -> Closed:
    one = uuid7_bytes()
    known = OpenRequests()
    begun = intent(
        one,
        at_ms=AT_MS + draw(st.integers(-2, 2)) * HOUR_MS // 2 + draw(st.integers(0, 999)),
        client_id=draw(st.sampled_from([21, 22])),
        key_id=draw(st.sampled_from([0, 11])),
        user_id=draw(st.sampled_from([0, 5])),
        alias=draw(st.sampled_from(["a", "b"])),
        deployment_id=51,
        price_id=61,
        tags=tuple(sorted(draw(tags).items())),
    )
    known.apply(begun, "tests")
    last = settle(
        one,
        outcome=draw(st.sampled_from(["ok", "error", "cancelled", "interrupted"])),
        deployment_id=draw(st.sampled_from([0, 51])),
        usage=draw(usages()),
        cost_nano=draw(counts),
        charged_nano=draw(counts),
        latency_ms=draw(st.one_of(st.integers(0, 20), st.integers(0, MOST_MS))),
        first_token_ms=draw(st.one_of(st.just(-1), st.integers(0, 5_000))),
        service_tier=draw(st.sampled_from(["", "flex"])),
    )
    closed = known.apply(last, "tests")
    assert isinstance(closed, Closed)
    return closed


def kept() -> list[Any]:
    """Everything that is summed, but for the rows' own ids."""
    found = []
    for model in (HourlyRollup, TagHour, LatencyHour):
        names = [field.name for field in model._meta.fields if field.name != "id"]
        found.append(sorted(model.objects.values_list(*names)))
    return found


def forget() -> None:
    for model in (HourlyRollup, TagHour, LatencyHour, RequestLog, Attempt):
        model.objects.all().delete()


@given(
    made=st.lists(requests(), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
    cuts=st.integers(1, 5),
)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_order_in_any_batches_gives_what_the_rows_say(world, monkeypatch, made, order, cuts):
    monkeypatch.setattr(store, "FEW", order.choice([0, 20]))  # both ways to add sums
    forget()
    late = [*made, *order.sample(made, len(made) // 2)]  # some come twice
    order.shuffle(late)
    names = Names()
    for number in range(cuts):
        batch.commit(Batch(closed=late[number::cuts]), journal_id="tests", names=names)
    added = kept()
    assert sum(row[-1] for row in added[2]) == _latencies(made)
    rollups.recompute(_hour(AT_MS) - timedelta(hours=3), _hour(AT_MS) + timedelta(hours=3))
    assert kept() == added
    wrong = [
        finding for finding in verify() if finding.differences and finding.code in SUMS_AND_CHARGES
    ]
    assert wrong == []
    _a_late_one_goes_to_its_hour(names)


SUMS_AND_CHARGES = ("rollups", "tags", "latencies", "charged")


def _a_late_one_goes_to_its_hour(names: Names) -> None:
    one = uuid7_bytes()
    known = OpenRequests()
    known.apply(intent(one, at_ms=AT_MS - 30 * 24 * HOUR_MS), "tests")
    closed = known.apply(settle(one, at_ms=AT_MS), "tests")
    batch.commit(Batch(closed=[closed]), journal_id="tests", names=names)
    hour = _hour(AT_MS - 30 * 24 * HOUR_MS)
    assert HourlyRollup.objects.get(hour=hour).requests == 1


def _latencies(made: list[Closed]) -> int:
    known = [one for one in made if one.settle.outcome != "interrupted"]
    return len(known) + sum(one.settle.first_token_ms >= 0 for one in made)


def _hour(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // HOUR_MS * 3600, UTC)


def test_what_a_row_says_is_what_was_journaled(world):
    one = uuid7_bytes()
    begun = intent(
        one,
        user_id=5,
        tags=(("env", "prod"), ("a.b", "x=y")),
        terms_id=9,
        markup_ppm=-5_000,
        deployment_id=51,
    )
    usage = Usage(90, 40, image_input_tokens=3, images=2, duration_ms=70, searches=4)
    told = {"service_tier": "flex", "error_detail": "UpstreamBroken upstream_broken"}
    world.write_dead(begun, settle(one, usage=usage, first_byte_ms=33, **told))
    world.ingest()
    row = RequestLog.objects.get()
    assert row.tags == {"env": "prod", "a.b": "x=y"}
    assert (row.provider_id, row.terms_id, row.markup_ppm) == (71, 9, -5_000)
    assert (row.service_tier, row.error_detail) == tuple(told.values())
    assert (row.image_input_tokens, row.images, row.duration_ms, row.searches) == (3, 2, 70, 4)
    assert (row.cache_status, row.experiment_arm) == ("", "")
    attempt = Attempt.objects.get()
    assert (attempt.provider_id, attempt.first_byte_ms) == (71, 33)
    for entry in LedgerEntry.objects.all():
        assert (entry.user_id, entry.alias, entry.provider_id) == (5, "gpt-4o-mini", 71)
        assert entry.tags == row.tags
    assert set(TagHour.objects.values_list("tag", flat=True)) == {"env=prod", "a.b=x=y"}
    assert list(RequestLog.objects.tagged("a.b", "x=y")) == [row]
    assert not RequestLog.objects.tagged("a.b", "x").exists()
    assert world.is_balanced()


def test_without_tags_there_are_none(world):
    one = uuid7_bytes()
    world.write_dead(intent(one), settle(one))
    world.ingest()
    assert RequestLog.objects.get().tags is None
    assert set(LedgerEntry.objects.values_list("tags", flat=True)) == {None}
    assert not TagHour.objects.exists()


def test_python_and_the_database_find_the_same_bucket(world):
    """At every bound and beside it, which is where they could differ."""
    edges = sorted({ms + off for ms in BOUNDS for off in (-1, 0, 1) if 0 <= ms + off <= MOST_MS})
    closed = []
    for ms in edges:
        one, known = uuid7_bytes(), OpenRequests()
        known.apply(intent(one), "tests")
        closed.append(known.apply(settle(one, latency_ms=ms), "tests"))
    batch.commit(Batch(closed=closed), journal_id="tests", names=Names())
    in_sql = RawSQL(bucket_sql("latency_ms"), [], output_field=IntegerField())
    rows = RequestLog.objects.annotate(bucket=bucket_of_column("latency_ms"), other=in_sql)
    found = {row.latency_ms: (row.bucket, row.other) for row in rows}
    assert found == {ms: (bucket_of(ms), bucket_of(ms)) for ms in edges}


def test_a_bucket_is_narrow():
    """What stands for it is within 5 % of all that is in it, and the rounding of milliseconds."""
    for ms in [*range(10, 3_000), *range(3_000, 10**7, 9_973), MOST_MS]:
        assert abs(middle_ms(bucket_of(ms)) - ms) <= 0.05 * ms + 1
