"""How much of budgets requests in flight hold: known to the process that reserves, if any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from apps.billing.limits.contract import BudgetLimit

Source = Callable[[Sequence[BudgetLimit]], Mapping[int, int]]
"""Nano-USD by budget id; budgets that it does not know are left out."""


class _Known:
    """One instance, below: who can be asked in this process."""

    source: Source | None = None


_known = _Known()


def register(source: Source | None) -> None:
    """Ask `source` from now on; None: nobody knows any more."""
    _known.source = source


def held_nano(budgets: Sequence[BudgetLimit]) -> Mapping[int, int]:
    """What is held now, by budget id. A budget that is missing is unknown, which is not 0."""
    source = _known.source
    return source(budgets) if source is not None and budgets else {}
