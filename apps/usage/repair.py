"""What a self-audit found and can safely be put right: sums that are derived from rows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from apps.audit import trail
from apps.billing import budget_repair
from apps.billing.models import BudgetWindow
from apps.usage import day_sums, rollups
from chatvault.lib import clock
from chatvault.lib.money import format_usd

_HOUR: Final = timedelta(hours=1)
KINDS: Final = ("hour", "day", "budget")
"""Examples of these kinds can be put right; an entry or a row that is wrong needs a person."""


class NotRepairable(Exception):
    """Shown as it is."""


def repair(kind: str, ref: str) -> str:
    """Compute the sum anew that an example names; says what was done. Again, it changes nothing."""
    if kind == "hour":
        return _hour(ref)
    if kind == "day":
        return _day(ref)
    if kind == "budget":
        return _window(ref)
    raise NotRepairable("This cannot be put right by a button: look at the row.")


def _time(ref: str) -> datetime:
    try:
        at = datetime.fromisoformat(ref)
    except ValueError:
        raise NotRepairable("There is no such time.") from None
    if at.tzinfo is None or at.minute or at.second or at > clock.now():
        raise NotRepairable("There is no such time.")
    return at


def _day(ref: str) -> str:
    day = _time(ref)
    if day.hour or not day_sums.is_over(day):
        raise NotRepairable("There is no such day.")
    day_sums.sum_up_day(day)
    with transaction.atomic():
        trail.record("ledger.day_recomputed", after={"day": day.isoformat()})
    return f"{day:%Y-%m-%d} is summed up anew from its rows."


@transaction.atomic
def _hour(ref: str) -> str:
    hour = _time(ref)
    count = rollups.recompute(hour, hour + _HOUR)
    trail.record("ledger.hour_recomputed", after={"hour": hour.isoformat(), "sums": count})
    return f"The hour from {hour:%Y-%m-%d %H:%M} UTC has {count} sums now, made from its rows."


def _window(ref: str) -> str:
    budget, _, start = ref.partition(" ")
    if not all(part.isascii() and part.isdigit() and len(part) < 13 for part in (budget, start)):
        raise NotRepairable("There is no such window.")
    try:
        before, after = budget_repair.recompute(budget_id=int(budget), start_s=int(start))
    except BudgetWindow.DoesNotExist:
        raise NotRepairable("There is no such window.") from None
    return f"The window said {format_usd(before)} and says {format_usd(after)} now."
