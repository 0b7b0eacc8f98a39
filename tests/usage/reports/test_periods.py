"""Buckets of time zones, and what they are made of."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.usage.reports.periods import Span, periods_of, plan_of
from apps.usage.reports.query import BadQuery, Bucket, Dimension, Query, zone_of

HOUR = timedelta(hours=1)
ZONES = (
    *("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York", "Australia/Lord_Howe"),
    *("Asia/Kathmandu", "Africa/Cairo", "Pacific/Apia"),
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def query(start: str, end: str, bucket: Bucket, zone: str = "UTC") -> Query:
    return Query(start=at(start), end=at(end), bucket=bucket, zone=zone_of(zone))


def test_days_of_berlin_have_23_and_25_hours_when_clocks_change():
    spring = periods_of(query("2026-03-28T23:00", "2026-03-29T22:00", Bucket.DAY, "Europe/Berlin"))
    autumn = periods_of(query("2026-10-24T22:00", "2026-10-25T23:00", Bucket.DAY, "Europe/Berlin"))
    assert [period.end - period.start for period in spring] == [23 * HOUR]
    assert [period.end - period.start for period in autumn] == [25 * HOUR]
    assert spring[0].label.isoformat() == "2026-03-29T00:00:00+01:00"


def test_hours_of_kolkata_begin_at_half_past_in_utc():
    found = periods_of(query("2026-05-01T00:00", "2026-05-01T02:00", Bucket.HOUR, "Asia/Kolkata"))
    assert [period.start.strftime("%H:%M") for period in found] == ["00:00", "00:30", "01:30"]
    assert [period.label.hour for period in found] == [5, 6, 7]


def test_an_hour_that_clocks_leave_early_is_short():
    """In Lord Howe they go back by half an hour at two o'clock."""
    found = periods_of(
        query("2026-04-04T13:00", "2026-04-04T17:00", Bucket.HOUR, "Australia/Lord_Howe")
    )
    assert timedelta(minutes=30) in [period.end - period.start for period in found]


def test_weeks_begin_on_monday_and_months_on_the_first():
    weeks = periods_of(query("2026-05-06T00:00", "2026-05-20T00:00", Bucket.WEEK, "Europe/Berlin"))
    months = periods_of(query("2026-01-15T00:00", "2026-03-02T00:00", Bucket.MONTH))
    assert [week.label.strftime("%a %d") for week in weeks] == ["Mon 04", "Mon 11", "Mon 18"]
    assert weeks[0].start == at("2026-05-06T00:00")  # of the first week only what was asked for
    assert [month.label.strftime("%m-%d") for month in months] == ["01-01", "02-01", "03-01"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"end": at("2026-05-01T00:00")}, "end"),
        ({"end": at("2026-04-01T00:00")}, "end"),
        ({"start": at("2026-05-01T00:00").replace(tzinfo=None)}, "start"),
        ({"end": at("2028-05-01T00:00"), "bucket": Bucket.HOUR}, "bucket"),
        ({"group_by": (Dimension.TEAM, Dimension.KEY, Dimension.USER)}, "group_by"),
        ({"group_by": (Dimension.TEAM, Dimension.TEAM)}, "group_by"),
    ],
    ids=["empty", "backwards", "naive", "hours of years", "three", "twice"],
)
def test_a_query_without_an_answer_names_what_is_wrong(wrong, field):
    right = {"start": at("2026-05-01T00:00"), "end": at("2026-05-02T00:00")}
    with pytest.raises(BadQuery) as refused:
        Query(**(right | wrong))
    assert refused.value.field == field


def test_an_unknown_zone_is_refused():
    with pytest.raises(BadQuery) as refused:
        zone_of("Mars/Olympus_Mons")
    assert refused.value.field == "time_zone"


def covered(spans: list[Span], number: int) -> dict[datetime, int]:
    """How often each quarter of an hour counts."""
    found: dict[datetime, int] = {}
    for span in spans:
        moment = span.start
        while span.period == number and moment < span.end:
            found[moment] = found.get(moment, 0) + span.sign
            moment += timedelta(minutes=15)
    return {moment: count for moment, count in found.items() if count}


@given(
    zone=st.sampled_from(ZONES),
    bucket=st.sampled_from([Bucket.NONE, Bucket.DAY, Bucket.WEEK, Bucket.HOUR]),
    start=st.integers(0, 4 * 24 * 20),
    length=st.integers(1, 4 * 24 * 4),
    ready=st.sets(st.integers(0, 30)),
)
def test_sums_and_rows_make_up_each_bucket_exactly_once(zone, bucket, start, length, ready):
    """Around a change of clocks in Berlin and in New York."""
    begin = datetime(2026, 3, 5, tzinfo=UTC)
    first = begin + timedelta(minutes=15 * start)
    asked = Query(
        start=first,
        end=first + timedelta(minutes=15 * length),
        bucket=bucket,
        zone=UTC if zone == "UTC" else ZoneInfo(zone),
    )
    days = {(begin + timedelta(days=number)).date() for number in ready}
    periods = periods_of(asked)
    plan = plan_of(periods, is_ready=lambda day: day in days)
    assert all(span.start.hour == span.end.hour == 0 for span in plan.days)
    assert all(span.start.minute == span.end.minute == 0 for span in plan.hours)
    assert {_day for span in plan.days for _day in _days(span)} <= days
    for number, period in enumerate(periods):
        once = covered([Span(number, 1, period.start, period.end)], number)
        assert covered([*plan.days, *plan.hours, *plan.rows], number) == once


def _days(span: Span) -> list[date]:
    return [
        (span.start + timedelta(days=number)).date()
        for number in range((span.end - span.start).days)
    ]


def test_edges_before_the_first_row_that_is_kept_are_those_of_full_hours():
    asked = Query(start=at("2026-05-01T00:30"), end=at("2026-05-01T02:30"))
    plan = plan_of(periods_of(asked), is_ready=lambda _: False, rows_since=at("2026-05-01T01:00"))
    assert [(span.start.hour, span.end.hour) for span in plan.hours] == [(0, 2)]
    assert [span.start.strftime("%H:%M") for span in plan.rows] == ["02:00"]
