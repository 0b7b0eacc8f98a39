"""Budgets drawn: spent, held and left."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.billing.budget_use import BudgetUse
from apps.billing.quota_uses import QuotaUse
from apps.billing.words import short_usd
from chatvault.lib.money import format_usd

_FULL = 0.9


def bar(use: BudgetUse | None, period: str = "") -> str | SafeString:
    """Spent and held as parts of the amount, and what they are in words."""
    if use is None:
        return "–"
    spent = _percent(use.spent_nano, use.amount_nano)
    held = min(_percent(use.held_nano or 0, use.amount_nano), 100 - spent)
    level = "over" if use.share >= 1 else "high" if use.share >= _FULL else "fine"
    return format_html(
        '<div class="cv-budget" data-level="{}">'
        '<div class="cv-bar" role="img" aria-label="{}% spent, {}% held">'
        '<i class="cv-spent cv-w{}"></i><i class="cv-held cv-w{}"></i></div>'
        '<div class="cv-figures"><b>{}</b> spent · <span title="Reserved by requests in flight">'
        "{} held</span> · {} left of {}{}</div></div>",
        level,
        spent,
        held,
        spent,
        held,
        short_usd(use.spent_nano),
        "–" if use.held_nano is None else short_usd(use.held_nano),
        short_usd(use.left_nano),
        format_usd(use.amount_nano),
        f" / {period}" if period else "",
    )


def tightest(uses: Iterable[tuple[BudgetUse, str]]) -> str | SafeString:
    """The bar of the budget that will be spent first."""
    chosen = max(uses, key=lambda each: each[0].share, default=None)
    return bar(*chosen) if chosen else "–"


def _percent(part: int, whole: int) -> int:
    if not whole:
        return 100
    return max(0, min(100, -(-part * 100 // whole)))


def quota_bar(use: QuotaUse) -> str | SafeString:
    """What of a quota is used now."""
    if use.used is None:
        return "–"
    level = "over" if use.share >= 1 else "high" if use.share >= _FULL else "fine"
    return format_html(
        '<div class="cv-budget" data-level="{}"><meter class="cv-meter" min="0" max="{}" '
        'value="{}" aria-label="{} of {}"></meter>'
        '<div class="cv-figures"><b>{}</b> of {} · {} left</div></div>',
        level,
        use.ceiling,
        min(use.used, use.ceiling),
        use.used,
        use.ceiling,
        f"{use.used:,}",
        f"{use.ceiling:,}",
        f"{use.left:,}",
    )
