"""What of a repricing must go together, for the page and for the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from apps.billing import ledger
from apps.repricing.models import Repricing
from apps.usage.models import KeptSince

LONGEST: Final = timedelta(days=400)
Refuse = Callable[[str, str], None]


def check(given: dict[str, Any], refuse: Refuse) -> None:
    """`refuse` is told each field that is wrong, and why."""
    _check_range(given, refuse)
    _check_prices(given, refuse)


def _check_range(given: dict[str, Any], refuse: Refuse) -> None:
    starts, ends = given.get("starts_at"), given.get("ends_at")
    if not (starts and ends):
        return
    if ends <= starts:
        refuse("ends_at", "It must end after it starts.")
    elif ends - starts > LONGEST:
        refuse("ends_at", "A range is at most 400 days long.")
    kept = KeptSince.of(KeptSince.Subject.REQUESTS)
    if kept is not None and starts < kept:
        refuse("starts_at", f"Requests from before {kept:%Y-%m-%d} are no longer kept.")
    if ends > starts and not given.get("as_credit_note"):
        team = given.get("team") or getattr(given.get("client"), "team", None)
        closed = ledger.closed_within(starts, ends, [team.pk] if team else None)
        if closed:
            refuse(
                "as_credit_note",
                f"The books of {closed[0]} are closed: only a credit note can change them.",
            )


def _check_prices(given: dict[str, Any], refuse: Refuse) -> None:
    basis = given.get("basis")
    for name, wanted in (("book", Repricing.Basis.BOOK), ("terms", Repricing.Basis.TERMS)):
        if basis == wanted and not given.get(name):
            refuse(name, "Choose which.")
        if basis != wanted and given.get(name):
            refuse(name, "Leave this empty, or choose to price by it.")
