"""Make forecasts of budgets, keep them, and tell of those that will not last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from apps import alerts
from apps.alerts.budgets import team_id_of
from apps.audit import trail
from apps.billing.budget_use import uses_of
from apps.billing.models import Budget
from apps.billing.words import short_usd
from apps.configuration import job_queue
from apps.forecasts import model, series
from apps.forecasts.models import BudgetForecast, WhatIf
from apps.forecasts.outlook import Outlook, Standing, look
from apps.forecasts.periods import Window, left_of_day, window_at
from chatvault.lib import clock
from chatvault.lib.money import format_usd, usd_from_nano

TOPIC: Final = "budget.forecast"
JOB: Final = "forecast-budget"
TASK: Final = "apps.forecasts.tasks.forecast_budget"
KEPT: Final = timedelta(days=400)
RELATED: Final = tuple(one.name for one in Budget._meta.fields if one.is_relation)
"""Whatever a budget can be on."""
_A_DAY: Final = timedelta(days=1)
_MARGIN: Final = timedelta(days=1)


def forecast(budget: Budget, now: datetime | None = None) -> BudgetForecast:
    """Make today's forecast of a budget, in place of one that today has already. For the worker:
    it loads the statistics."""
    now = now or clock.now()
    window = window_at(budget, now)
    standing = standing_of(budget, window, now)
    seen = look(standing, seed=budget.pk)
    row = _keep(budget, window, standing, seen, now)
    if row.is_breach and row.spent_nano < row.amount_nano:
        _tell(budget, row, window.rolling_days)
    return row


def forecast_all(progress: Callable[[int, int], None], now: datetime | None = None) -> int:
    """Of every active budget; returns how many there are. Old forecasts are removed."""
    now = now or clock.now()
    rows = list(active().values_list("pk", flat=True))
    for number, pk in enumerate(rows):
        progress(number, len(rows))
        budget = active().filter(pk=pk).first()
        if budget is not None:
            forecast(budget, now)
    BudgetForecast.objects.filter(made_at__lt=now - KEPT).delete()
    WhatIf.objects.filter(created_at__lt=now - KEPT).delete()
    progress(len(rows), len(rows))
    return len(rows)


@transaction.atomic
def ask(*, budget: Budget) -> bool:
    """See that a worker makes the forecast as soon as it is free; False: one waits already."""
    trail.record("forecast.asked", target=budget, team_id=team_id_of(budget))
    return job_queue.enqueue(JOB, TASK, {"budget_id": budget.pk}) is not None


def active() -> QuerySet[Budget]:
    return (
        Budget.objects.filter(is_active=True)
        .select_related(*RELATED, "client__team", "key__client__team")
        .order_by("pk")
    )


def newest(budget_ids: Iterable[int], now: datetime) -> dict[int, BudgetForecast]:
    """The latest forecasts that are about the windows of now, by budget; without their points."""
    rows = BudgetForecast.objects.newest(budget_ids).holding(now).defer("points")
    return {row.budget_id: row for row in rows}


def standing_of(budget: Budget, window: Window, now: datetime) -> Standing:
    today = now.astimezone(window.zone).date()
    first = today - model.MOST_DAYS * _A_DAY
    sums = series.daily(budget, first, today, window.zone)
    use = uses_of([budget], now)[budget.pk]
    return Standing(
        today=today,
        last_on=window.last_on,
        amount_nano=use.amount_nano,
        spent_nano=max(use.spent_nano, 0),
        today_nano=max(sums.get(today, 0), 0),
        today_left=left_of_day(now, window.zone),
        days=[sums.get(day, 0) for day in series.days_between(first, today - _A_DAY)],
        is_open_ended=window.ends_at is None,
        rolling_days=window.rolling_days,
    )


def _keep(
    budget: Budget, window: Window, standing: Standing, seen: Outlook, now: datetime
) -> BudgetForecast:
    values: dict[str, Any] = {
        "made_at": now,
        "window_starts_at": window.starts_at,
        "window_ends_at": window.ends_at,
        "last_on": window.last_on,
        "amount_nano": standing.amount_nano,
        "spent_nano": standing.spent_nano,
        "expected_nano": seen.expected_nano,
        "low_nano": seen.low_nano,
        "high_nano": seen.high_nano,
        "runs_out_on": seen.runs_out_on,
        "runs_out_earliest": seen.earliest,
        "runs_out_latest": seen.latest,
        "daily_nano": seen.daily_nano,
        "safe_daily_nano": seen.safe_daily_nano,
        "method": seen.method,
        "days_seen": seen.days_seen,
        "points": _spent_points(window, standing) + _expected_points(seen),
    }
    row, _ = BudgetForecast.objects.update_or_create(
        budget=budget, made_on=standing.today, defaults=values
    )
    return row


def _spent_points(window: Window, standing: Standing) -> list[dict[str, Any]]:
    """What the window had spent at the end of each of its days before today. The steps are those of
    the days, the last is what budgets say is spent: days that are no longer kept come first."""
    start = window.starts_at.astimezone(window.zone).date()
    if window.rolling_days:
        return _rolling_points(window, standing)
    first = standing.today - len(standing.days) * _A_DAY
    days = list(
        zip(series.days_between(first, standing.today - _A_DAY), standing.days, strict=True)
    )
    within = [(day, nano) for day, nano in days if day >= start]
    total = standing.spent_nano - standing.today_nano - sum(nano for _, nano in within)
    points = []
    for day, nano in within:
        total += nano
        points.append({"on": day.isoformat(), "spent": max(total, 0)})
    return points


def _rolling_points(window: Window, standing: Standing) -> list[dict[str, Any]]:
    length, days = window.rolling_days, list(standing.days)
    shown = min(length, len(days))
    return [
        {
            "on": (standing.today - back * _A_DAY).isoformat(),
            "spent": max(
                sum(days[max(0, len(days) - back + 1 - length) : len(days) - back + 1]), 0
            ),
        }
        for back in range(shown, 0, -1)
    ]


def _expected_points(seen: Outlook) -> list[dict[str, Any]]:
    return [
        {
            "on": point.on.isoformat(),
            "expected": point.expected_nano,
            "low": point.low_nano,
            "high": point.high_nano,
        }
        for point in seen.points
    ]


def _tell(budget: Budget, row: BudgetForecast, rolling_days: int) -> None:
    """Once a window: the key is the window's."""
    until, start = row.window_ends_at, row.window_starts_at.strftime("%Y-%m-%dT%H:%MZ")
    key, told_until = f"budget:{budget.pk}:{start}", until + _MARGIN if until else None
    if rolling_days:  # its window begins anew every day
        key, told_until = f"budget:{budget.pk}:rolling", row.made_at + rolling_days * _A_DAY
    end = (
        f"by {row.last_on:%Y-%m-%d}" if until else f"within {(row.last_on - row.made_on).days} days"
    )
    band = f"{short_usd(row.low_nano)} to {short_usd(row.high_nano)}"
    alerts.tell(
        TOPIC,
        key=key,
        title=f"The budget of {budget.scope} will probably be spent on {row.runs_out_on}",
        text=f"{short_usd(row.spent_nano)} of {format_usd(row.amount_nano)} is spent. At this rate "
        f"it is {short_usd(row.expected_nano)} {end} (four of five cases: {band}). "
        f"{short_usd(row.daily_nano)} a day is expected, {short_usd(row.safe_daily_nano)} "
        "would last.",
        team_id=team_id_of(budget),
        facts={
            "budget": budget.pk,
            "name": str(budget.scope),
            "amount_usd": _usd(row.amount_nano),
            "spent_usd": _usd(row.spent_nano),
            "expected_usd": _usd(row.expected_nano),
            "low_usd": _usd(row.low_nano),
            "high_usd": _usd(row.high_nano),
            "runs_out_on": _day(row.runs_out_on),
            "earliest": _day(row.runs_out_earliest),
            "latest": _day(row.runs_out_latest),
            "safe_daily_usd": _usd(row.safe_daily_nano),
            "from": start,
            "until": until.strftime("%Y-%m-%dT%H:%MZ") if until else "",
        },
        until=told_until,
        link=reverse("admin:forecasts_budgetforecast_change", args=[row.pk]),
    )


def _usd(nano: int) -> str:
    return f"{usd_from_nano(nano).normalize():f}"


def _day(day: date | None) -> str:
    return day.isoformat() if day else ""
