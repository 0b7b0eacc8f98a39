"""Forecasts of series whose truth is known, and of those that make models stumble."""

from __future__ import annotations

import os
from datetime import date, timedelta

import numpy
import pytest

from apps.forecasts import model
from apps.forecasts.outlook import Standing, look
from tests.forecasts.series import USD, seasonal

MONDAY = date(2026, 6, 1)
SEEDS = int(os.environ.get("CHATVAULT_FORECAST_SEEDS", "2"))
COVERAGE = 0.7  # of a band that is meant to hold 0.8


def standing(days, **more):
    """A month's budget on its first day, which has not begun."""
    today = MONDAY + timedelta(days=len(days))
    values = {
        "today": today,
        "last_on": today + timedelta(days=29),
        "amount_nano": 1_000 * USD,
        "spent_nano": 0,
        "today_nano": 0,
        "today_left": 1.0,
        "days": days,
    }
    return Standing(**values | more)


@pytest.mark.parametrize("seen", [10, 28, 120])
def test_the_band_holds_the_truth(seen):
    """Of a few series by default; `make forecast-proof` asks many."""
    held, errors = [], []
    for seed in range(SEEDS):
        values = seasonal(seed, seen + 30)
        found = look(standing(values[:seen]), seed)
        truth = sum(values[seen:])
        held.append(found.low_nano <= truth <= found.high_nano)
        errors.append(abs(found.expected_nano - truth) / truth)
    assert numpy.mean(held) >= (COVERAGE if SEEDS > 20 else 0.5)
    assert numpy.median(errors) < 0.3


def test_weekdays_are_learned():
    week = [10, 10, 10, 10, 10, 0, 0]
    paths = model.forecast([one * USD for one in week * 10], 14)
    assert paths.method == "seasonal"
    middle = numpy.median(paths.daily, axis=0) / USD
    assert all(abs(middle[day] - week[day % 7]) < 1.5 for day in range(14))


def test_growth_is_followed():
    values = [round(USD * 10 * 1.02**day) for day in range(60)]
    found = look(standing(values))
    truth = sum(round(USD * 10 * 1.02**day) for day in range(60, 90))
    assert abs(found.expected_nano - truth) < truth * 0.25
    assert found.low_nano < found.expected_nano < found.high_nano


def test_one_spike_is_no_habit():
    calm = seasonal(7, 60)
    spiky = list(calm)
    spiky[40] *= 60
    quiet, loud = look(standing(calm)), look(standing(spiky))
    assert loud.expected_nano < quiet.expected_nano * 1.3
    assert loud.high_nano < quiet.high_nano * 2


AWKWARD = {
    "nothing": [],
    "zeros": [0] * 40,
    "one day": [5 * USD],
    "the same every day": [7 * USD] * 50,
    "zeros, then use": [0] * 100 + [3 * USD] * 5,
    "use, then nothing": [3 * USD] * 40 + [0] * 30,
    "every third day": [0, 0, 9 * USD] * 12,
    "a gap": [5 * USD] * 30 + [0] * 10 + [5 * USD] * 30,
    "credits": [5 * USD] * 20 + [-40 * USD] + [5 * USD] * 20,
    "nano amounts": [1, 2, 1, 3] * 10,
    "the most": [2**62] * 20,
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_series_give_whole_amounts_that_are_never_negative(name):
    found = look(standing(AWKWARD[name]))
    amounts = [found.expected_nano, found.low_nano, found.high_nano]
    amounts += [found.daily_nano, found.safe_daily_nano]
    for point in found.points:
        amounts += [point.low_nano, point.expected_nano, point.high_nano]
        assert point.low_nano <= point.expected_nano <= point.high_nano
    assert all(isinstance(one, int) and one >= 0 for one in amounts)
    expected = [point.expected_nano for point in found.points]
    assert expected == sorted(expected)
    assert len(found.points) == 30


def test_fewer_than_two_weeks_get_a_rate_with_a_wide_band():
    found = look(standing([10 * USD] * 5))
    assert found.method == "rate"
    assert 200 * USD < found.expected_nano < 400 * USD
    assert found.high_nano - found.low_nano > 150 * USD


def test_the_day_it_runs_out():
    found = look(standing([10 * USD] * 60, amount_nano=105 * USD))
    assert found.runs_out_on == found.points[10].on
    assert found.earliest <= found.runs_out_on <= found.latest
    assert found.safe_daily_nano == round(105 * USD / 30)
    assert found.is_breach


def test_a_budget_that_lasts_has_no_day():
    found = look(standing([10 * USD] * 60, amount_nano=10_000 * USD))
    assert (found.runs_out_on, found.earliest, found.latest) == (None, None, None)


def test_a_spent_budget_ran_out_today_and_leaves_nothing():
    state = standing([10 * USD] * 20, amount_nano=50 * USD, spent_nano=60 * USD, today_left=0.5)
    found = look(state)
    assert found.runs_out_on == state.today
    assert found.safe_daily_nano == 0


def test_only_what_is_left_of_today_is_expected_of_it():
    state = standing([24 * USD] * 30, spent_nano=6 * USD, today_nano=6 * USD, today_left=0.25)
    assert look(state).points[0].expected_nano == pytest.approx(12 * USD, rel=0.05)


def test_a_first_day_is_extrapolated_from_itself():
    found = look(standing([], spent_nano=6 * USD, today_nano=6 * USD, today_left=0.5))
    assert found.expected_nano > 100 * USD
    assert found.method == "rate"


def test_a_rolling_window_forgets_its_oldest_day():
    days = [10 * USD] * 30
    state = standing(
        days, spent_nano=60 * USD, today_left=1.0, rolling_days=7, amount_nano=100 * USD
    )
    found = look(state)
    assert found.points[0].expected_nano == pytest.approx(70 * USD, rel=0.02)
    assert found.points[-1].expected_nano == pytest.approx(70 * USD, rel=0.02)
    assert found.runs_out_on is None


def test_the_same_series_gives_the_same_forecast():
    assert look(standing(seasonal(3, 50))) == look(standing(seasonal(3, 50)))
