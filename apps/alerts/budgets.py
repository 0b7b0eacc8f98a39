"""Budgets that reached a line: each line is told once a window, the highest alone where several
were passed at once, and again after a raise or a credit brought the budget below it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from apps.alerts import services
from apps.alerts.models import BudgetLines, BudgetWatch
from apps.billing import budget_windows
from apps.billing.budget_use import BudgetUse, uses_of
from apps.billing.budget_windows import instant
from apps.billing.limits.periods import is_rolling
from apps.billing.models import Budget, BudgetStage
from apps.billing.words import short_usd
from chatvault.lib.money import format_usd, usd_from_nano

TOPIC: Final = "budget.threshold"
MOST_LINES: Final = 10
SLACK_PERCENT: Final = 10
_AT_ONCE: Final = 500
_LAST_S: Final = 253_402_300_799  # the end of the year 9999: there is no end
_MARGIN: Final = timedelta(days=1)  # clocks of two workers around the end of a window


class Window(NamedTuple):
    """`ends_at` None: never."""

    starts_at: datetime
    ends_at: datetime | None


def look(now: datetime) -> int:
    """Tell of the lines that were reached since the last look; how many."""
    budgets = Budget.objects.filter(is_active=True, amount_nano__gt=0).order_by("pk")
    budgets = budgets.select_related("team", "client", "key__client", "user", "alias", "provider")
    rows = list(budgets.prefetch_related("stages"))
    return sum(_look_at(rows[at : at + _AT_ONCE], now) for at in range(0, len(rows), _AT_ONCE))


def lines_of(budgets: Sequence[Budget]) -> dict[int, tuple[int, ...]]:
    """Percent by budget, ascending: its own lines; without any those of its stages that do more
    than count; without any those of the installation. Two queries."""
    found: dict[int, set[int]] = {}
    stages = BudgetStage.objects.filter(budget__in=budgets).exclude(
        action=BudgetStage.Action.OBSERVE
    )
    for budget_id, percent in stages.values_list("budget_id", "at_percent"):
        found.setdefault(budget_id, set()).add(percent)
    own = BudgetLines.objects.filter(budget__in=budgets)
    found |= {budget_id: set(each) for budget_id, each in own.values_list("budget_id", "percents")}
    default: tuple[int, ...] = settings.CHATVAULT.alerts.lines
    return {budget.pk: tuple(sorted(found.get(budget.pk, default))) for budget in budgets}


def percents_of(text: str) -> list[int]:
    """Lines as people write them, `50, 80, 100`. Raises ValueError with what is wrong."""
    parts = [part.strip().removesuffix("%").strip() for part in text.split(",")]
    given = [part for part in parts if part]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 1000 for part in given):
        raise ValueError("Write whole percents between 1 and 1000 with commas: 50, 80, 100.")
    found = sorted({int(part) for part in given})
    if not 0 < len(found) <= MOST_LINES:
        raise ValueError(f"Write between one and {MOST_LINES} lines.")
    return found


def windows_of(budgets: Sequence[Budget], now: datetime) -> dict[int, Window]:
    """By budget. A rolling one has no beginning, so that its lines are not armed by the clock."""
    found = {}
    for scope in budget_windows.scopes_of(budget.pk for budget in budgets):
        window = budget_windows.window_of(scope, int(now.timestamp()))
        if is_rolling(scope.period):
            found[scope.budget_id] = Window(instant(0), None)
        else:
            end = instant(window.end_s) if window.end_s < _LAST_S else None
            found[scope.budget_id] = Window(instant(window.start_s), end)
    return found


def window_of(budget: Budget, now: datetime) -> Window:
    return windows_of([budget], now)[budget.pk]


def _look_at(budgets: Sequence[Budget], now: datetime) -> int:
    uses = uses_of(budgets, now)
    lines, windows = lines_of(budgets), windows_of(budgets, now)
    known = BudgetWatch.objects.in_bulk([budget.pk for budget in budgets])
    told = 0
    for budget in budgets:
        use, window = uses[budget.pk], windows[budget.pk]
        watch = known.get(budget.pk)
        is_moving = budget.period == Budget.Period.ROLLING
        kept = watch.percent if watch is not None and is_moving else 0
        line = reached(use, lines[budget.pk], kept)
        if watch is None and not line:
            continue
        if watch is not None and (watch.starts_at, watch.percent) == (window.starts_at, line):
            continue
        told += _move(budget, use, window, line)
    return told


def reached(use: BudgetUse, lines: Sequence[int], kept: int = 0) -> int:
    """The highest line that what is spent has come to; 0: none. `kept` is one that is left only
    well below it: what a rolling budget has spent goes up and down by itself."""
    used = use.spent_nano * 100
    passed = [line for line in lines if used >= line * use.amount_nano]
    if kept in lines and used >= (kept - SLACK_PERCENT) * use.amount_nano:
        passed.append(kept)
    return max(passed, default=0)


@transaction.atomic
def _move(budget: Budget, use: BudgetUse, window: Window, line: int) -> bool:
    """Whether it was told; of two workers one changes the row."""
    watch, _ = BudgetWatch.objects.get_or_create(
        budget_id=budget.pk, defaults={"starts_at": window.starts_at}
    )
    is_same = watch.starts_at == window.starts_at
    before = watch.percent if is_same else 0
    rearmed = watch.rearmed + (line < before) if is_same else 0
    unchanged = BudgetWatch.objects.filter(
        pk=watch.pk, starts_at=watch.starts_at, percent=watch.percent, rearmed=watch.rearmed
    )
    moved = unchanged.update(starts_at=window.starts_at, percent=line, rearmed=rearmed)
    if not moved or line <= before:
        return False
    _tell(budget, use, window, line, rearmed)
    return True


def _tell(budget: Budget, use: BudgetUse, window: Window, line: int, rearmed: int) -> None:
    start = window.starts_at.strftime("%Y-%m-%dT%H:%MZ")
    again = f":{rearmed}" if rearmed else ""
    percent = use.spent_nano * 100 // use.amount_nano
    kind, name = _scope_of(budget)
    services.tell(
        TOPIC,
        key=f"budget:{budget.pk}:{start}:{line}{again}",
        title=f"{line} % of the budget of {kind} {name} is spent",
        text=_text(budget, use, window, percent),
        team_id=team_id_of(budget),
        facts={
            "budget": budget.pk,
            "scope": kind,
            "name": name,
            "line_percent": line,
            "share_percent": percent,
            "spent_usd": _usd(use.spent_nano),
            "amount_usd": _usd(use.amount_nano),
            "period": budget.period,
            "from": start,
            "until": window.ends_at.strftime("%Y-%m-%dT%H:%MZ") if window.ends_at else "",
            "spent_nano": use.spent_nano,
            "amount_nano": use.amount_nano,
        },
        until=window.ends_at + _MARGIN if window.ends_at else None,
        link=reverse("admin:billing_budget_change", args=[budget.pk]),
    )


def _text(budget: Budget, use: BudgetUse, window: Window, percent: int) -> str:
    kind, name = _scope_of(budget)
    spent = f"{short_usd(use.spent_nano)} of {format_usd(use.amount_nano)} ({percent} %)"
    text = f"The {kind} {name} has spent {spent}."
    if budget.period == Budget.Period.ROLLING:
        text += f" It counts the last {budget.length_days} days."
    elif window.ends_at:
        text += f" The budget runs until {window.ends_at:%Y-%m-%d %H:%M} UTC."
    return f"{text} {_consequence(budget, percent)}".rstrip()


def _consequence(budget: Budget, percent: int) -> str:
    """What requests meet from here on, by the stage that does most."""
    stages = [stage for stage in budget.stages.all() if stage.at_percent <= percent]
    actions = {stage.action: stage for stage in stages}
    of = BudgetStage.Action
    if of.REFUSE in actions or (percent >= 100 and not budget.stages.all()):
        is_endless = budget.period in (Budget.Period.TOTAL, Budget.Period.ROLLING)
        until = "" if is_endless else " or the next period begins"
        return f"Further requests are refused until the amount is raised{until}."
    if of.DEGRADE in actions:
        return "Requests are answered by a cheaper model now."
    if of.THROTTLE in actions:
        pace = actions[of.THROTTLE].requests_per_minute
        return f"Requests are slowed down to {pace} a minute now."
    return ""


def team_id_of(budget: Budget) -> int | None:
    """Whose people may read of it; None: the installation's alone."""
    return budget.team_id_of


def _scope_of(budget: Budget) -> tuple[str, str]:
    """In the words of the pages: a model, a person."""
    return _CALLED.get(budget.kind, budget.kind), str(budget.scope)


_CALLED: Final = {"alias": "model", "user": "person"}


def _usd(nano: int) -> str:
    return f"{usd_from_nano(nano).normalize():f}"
