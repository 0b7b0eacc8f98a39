"""Sums of days that do not agree with their hours are found, and made anew."""

from datetime import UTC

import pytest
from django.db.models import F

from apps.usage import repair, verify_days
from apps.usage.models import (
    DayRollup,
    HourlyRollup,
    LatencyHour,
    LatencyView,
    SummedDay,
    SumView,
    TagDay,
    TagHour,
)
from tests.usage.reports.conftest import BEGIN, DAYS, Usage

MORE = {
    "day": (DayRollup, {"requests": F("requests") + 1}),
    "adjusted": (DayRollup, {"adjusted_charged_nano": F("adjusted_charged_nano") + 1}),
    "who": (DayRollup, {"team_id": 9}),
    "tag": (TagDay, {"cost_nano": F("cost_nano") + 1}),
    "view": (SumView, {"errors": F("errors") + 1}),
    "name of a view": (SumView, {"alias": "other"}),
    "latency": (LatencyView, {"lowest": F("lowest") + 1}),
    "hour": (HourlyRollup, {"output_tokens": F("output_tokens") + 1}),
    "hour of a tag": (TagHour, {"images": F("images") + 1}),
    "latency of an hour": (LatencyHour, {"count": F("count") + 1}),
}


@pytest.fixture
def summed(usage: Usage) -> Usage:
    usage.sum_up()
    return usage


def test_days_agree(summed: Usage) -> None:
    [found] = verify_days.findings(BEGIN)
    assert (found.checked, found.differences, found.examples) == (DAYS, 0, [])


@pytest.mark.parametrize("name", list(MORE))
def test_one_that_differs_is_found_and_made_anew(summed: Usage, name: str) -> None:
    model, change = MORE[name]
    first = model._default_manager.order_by("pk").first()
    assert model._default_manager.filter(pk=first.pk).update(**change) == 1
    [found] = verify_days.findings(BEGIN)
    assert found.differences == 1
    [example] = found.examples
    assert example.kind == "day"
    if "hour" in name:
        return
    assert "is summed up anew" in repair.repair("day", example.ref)
    [found] = verify_days.findings(BEGIN)
    assert (found.checked, found.differences) == (DAYS, 0)


def test_a_day_that_is_not_summed_up_is_not_wrong(summed: Usage) -> None:
    DayRollup.objects.all().delete()
    SummedDay.objects.all().delete()
    [found] = verify_days.findings(BEGIN)
    assert (found.checked, found.differences) == (0, 0)


@pytest.mark.parametrize("ref", ["", "2026-05-01", "2026-05-01T01:00:00+00:00", "{}"])
def test_what_is_no_day_is_not_made(summed: Usage, ref: str) -> None:
    from chatvault.lib import clock

    today = clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with pytest.raises(repair.NotRepairable):
        repair.repair("day", ref.format(today.isoformat()))
