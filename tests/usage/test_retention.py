"""Old rows go; the ledger, the hourly sums and what is proved of them stay (on both databases)."""

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings

from apps.billing.models import Budget, BudgetWindow, LedgerEntry
from apps.usage import partitions, retention, rollups
from apps.usage.models import Attempt, HourlyRollup, KeptSince, RequestLog
from chatvault.lib import clock
from chatvault.lib.ids import uuid7_bytes
from tests.factories import make_attempt, make_request
from tests.usage.samples import intent, settle, start

DAY_MS = 86_400_000
NOW = clock.now()
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def keep(monkeypatch):
    def days(**values: int) -> None:
        section = settings.CHATVAULT.retention.model_copy(update=values)
        monkeypatch.setattr(
            type(settings.CHATVAULT), "retention", property(lambda _: section), raising=False
        )

    return days


def book(world, days_ago: int) -> bytes:
    one = uuid7_bytes()
    at_ms = int(NOW.timestamp() * 1000) - days_ago * DAY_MS
    world.write_dead(
        intent(one, at_ms=at_ms), start(one, at_ms=at_ms), settle(one, at_ms=at_ms + 210)
    )
    assert world.ingest() == 1
    return one


@pytest.fixture
def booked(world):
    Budget.objects.create(team_id=31, amount_nano=10**9, period="total")
    for days_ago in (0, 1, 29, 30, 31, 45):
        book(world, days_ago)
    return world


def test_rows_that_are_too_old_go_and_nothing_else(booked, keep):
    keep(request_days=30, attempt_days=10, batch_rows=1)
    told: list[tuple[int, int]] = []
    retention.apply(now=NOW, progress=lambda *done: told.append(done))
    assert RequestLog.objects.count() == 4
    assert Attempt.objects.count() == 2
    assert LedgerEntry.objects.count() == 18
    assert HourlyRollup.objects.count() == 6
    assert BudgetWindow.objects.get().settled_nano == 6 * 40_425
    assert told


def test_the_books_balance_after_it(booked, keep):
    keep(request_days=30)
    retention.apply(now=NOW)
    assert booked.is_balanced()
    assert retention.kept_since() == MIDNIGHT - timedelta(days=30)


def test_sums_of_hours_whose_rows_are_gone_are_left_alone(booked, keep):
    keep(request_days=30)
    before = sorted(HourlyRollup.objects.values_list("hour", "requests", "charged_nano"))
    retention.apply(now=NOW)
    for days in (45, 31, 30, 29, 1, 0):
        hour = NOW - timedelta(days=days)
        rollups.recompute(hour - timedelta(hours=2), hour + timedelta(hours=2))
    assert sorted(HourlyRollup.objects.values_list("hour", "requests", "charged_nano")) == before


def test_a_difference_in_a_kept_hour_is_still_found(booked, keep):
    keep(request_days=30)
    retention.apply(now=NOW)
    RequestLog.objects.order_by("started_at").first().delete()
    with pytest.raises(AssertionError):
        booked.is_balanced()


def test_twice_is_the_same_and_the_mark_never_goes_back(booked, keep):
    keep(request_days=5)
    retention.apply(now=NOW)
    keep(request_days=30)
    removed = retention.apply(now=NOW)
    assert (removed.rows, removed.partitions) == (0, [])
    assert retention.kept_since() == MIDNIGHT - timedelta(days=5)
    assert RequestLog.objects.count() == 2


def test_what_was_interrupted_goes_on(booked, keep, monkeypatch):
    keep(request_days=30, batch_rows=1)
    partitions.ensure()

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retention.apply(now=NOW, progress=killed)
    assert RequestLog.objects.count() == 5
    assert booked.is_balanced()  # what is older than the mark is compared with nothing
    retention.apply(now=NOW)
    assert RequestLog.objects.count() == 4


def test_a_journal_that_is_older_than_the_rows_is_booked_once(booked, keep):
    """A segment of a machine that was away for months, or of a restored backup."""
    keep(request_days=30)
    one = uuid7_bytes()
    at_ms = int(NOW.timestamp() * 1000) - 60 * DAY_MS
    path = booked.write_dead(intent(one, at_ms=at_ms), start(one, at_ms=at_ms), settle(one))
    data = path.read_bytes()
    booked.ingest()
    retention.apply(now=NOW)
    assert one not in booked.requests()
    booked.write_bytes(data)
    booked.ingest()
    assert len(booked.entries(one)) == 3
    assert one not in booked.requests()
    assert booked.is_balanced()


def test_zero_keeps_everything(booked, keep):
    keep(request_days=0, attempt_days=0)
    retention.apply(now=NOW)
    assert RequestLog.objects.count() == Attempt.objects.count() == 6
    assert not KeptSince.objects.exists()


@pytest.mark.django_db
def test_rows_outside_of_a_partition_of_their_own_go_too(keep):
    keep(request_days=3, attempt_days=3)
    make_request(started_at=datetime(2020, 1, 1, tzinfo=UTC))
    make_attempt(started_at=datetime(2020, 1, 1, tzinfo=UTC))
    kept = make_request(started_at=datetime(2100, 1, 1, tzinfo=UTC))
    assert retention.apply(now=NOW).rows == 2
    assert list(RequestLog.objects.all()) == [kept]
