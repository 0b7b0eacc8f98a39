"""An accepted bill beside our cost, day by day and model by model."""

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from apps import alerts
from apps.invoicing import importing, ours
from apps.invoicing.errors import InvoicingError
from apps.invoicing.matching import NOT_OURS, UNKNOWN, UNNAMED
from apps.invoicing.models import Bill, BillLine, BillMatch
from apps.usage.models import KeptSince
from chatvault.lib import clock
from chatvault.lib.money import format_usd, nano_from_usd, usd_from_nano

TOPIC: Final = "reconciliation.drift"
_BY_NAME: Final = (UNKNOWN, NOT_OURS, UNNAMED)
"""What the name of a line led to; a tax or a day outside stays what it is."""


def compare(bill: Bill) -> list[BillMatch]:
    """Match the bill's lines anew and set them beside what the ledger says now. Raises
    InvoicingError for a bill that does not count, or whose requests are no longer kept."""
    if bill.state != Bill.State.COUNTED:
        raise InvoicingError("Only an accepted bill is compared.")
    _check_kept(bill)
    _match_again(bill)
    billed = billed_of(bill)
    costs = ours.costs_of(bill)
    nothing = ours.Cost()
    matches = [
        BillMatch(
            bill=bill,
            day=day,
            model=model,
            billed_nano=billed.get((day, model), 0),
            cost_nano=costs.get((day, model), nothing).nano,
            requests=costs.get((day, model), nothing).requests,
        )
        for day, model in sorted(billed.keys() | costs.keys())
    ]
    _keep(bill, matches)
    return matches


def billed_of(bill: Bill) -> dict[tuple[date, str], int]:
    """The matched lines by day and model, in nano-USD."""
    rows = bill.lines.filter(unmatched="").order_by().values("day", "model")
    return {
        (row["day"], row["model"]): int(row["total"])
        for row in rows.annotate(total=Sum("usd_nano"))
    }


def is_drift(billed_nano: int, cost_nano: int) -> bool:
    """Beyond both tolerances: that in percent of the bill, and that in USD."""
    limits = settings.CHATVAULT.invoicing
    drift = abs(billed_nano - cost_nano)
    if drift <= nano_from_usd(limits.tolerance_usd.quantize(Decimal("1e-9"))):
        return False
    share = int(limits.tolerance_percent * 10**6)  # of 100 × 10⁶
    return drift * 100 * 10**6 > max(abs(billed_nano), abs(cost_nano)) * share


def percent(drift_nano: int, of_nano: int) -> Decimal | None:
    """How much it is of the bill; None where nothing was billed."""
    if not of_nano:
        return None
    return (Decimal(drift_nano) * 100 / Decimal(abs(of_nano))).quantize(Decimal("0.01"))


def unknown_models(bill: Bill) -> list[str]:
    rows = bill.lines.filter(unmatched=UNKNOWN).order_by("billed_model")
    return list(rows.values_list("billed_model", flat=True).distinct())


def _check_kept(bill: Bill) -> None:
    since = KeptSince.of(KeptSince.Subject.REQUESTS)
    if since is not None and bill.starts_on is not None and bill.starts_on < since.date():
        raise InvoicingError(
            f"Requests are kept since {since:%Y-%m-%d}: what the bill's older days cost cannot be "
            "told by model any more."
        )


def _match_again(bill: Bill) -> None:
    """Rules and deployments may be new since the file was read."""
    matcher = importing.matcher_of(bill.provider_id)
    changed = []
    for line in bill.lines.all():
        if line.unmatched and line.unmatched not in _BY_NAME:
            continue
        model, why = matcher.find(line.billed_model)
        if (line.model, line.unmatched) != (model, why):
            line.model, line.unmatched = model, why
            changed.append(line)
    BillLine.objects.bulk_update(changed, ["model", "unmatched"], batch_size=500)


@transaction.atomic
def _keep(bill: Bill, matches: list[BillMatch]) -> None:
    bill.matches.all().delete()
    BillMatch.objects.bulk_create(matches, batch_size=1_000)
    was_drifting = bill.is_drifting
    bill.matched_usd_nano = sum(match.billed_nano for match in matches)
    bill.cost_nano = sum(match.cost_nano for match in matches)
    bill.is_drifting = is_drift(bill.matched_usd_nano, bill.cost_nano)
    bill.compared_at = clock.now()
    names = ["matched_usd_nano", "cost_nano", "is_drifting", "compared_at"]
    bill.save(update_fields=names)
    if bill.is_drifting:
        _tell(bill, is_new=not was_drifting)


def _tell(bill: Bill, *, is_new: bool) -> None:
    """Once for each amount that the drift has."""
    drift = bill.drift_nano
    share = percent(drift, bill.matched_usd_nano)
    more = "more" if drift > 0 else "less"
    alerts.tell(
        TOPIC,
        key=f"bill:{bill.pk}:{hashlib.sha256(str(drift).encode()).hexdigest()[:16]}",
        title=f"The bill of {bill.provider_name} differs from our cost",
        text=(
            f"For {bill.starts_on:%Y-%m-%d} to {bill.ends_on:%Y-%m-%d} {bill.provider_name} bills "
            f"{format_usd(abs(drift), 2)} {more} than ChatVault booked"
            f"{f' ({share} %)' if share is not None else ''}."
        ),
        team_id=None,
        facts={
            "bill": bill.pk,
            "provider": bill.provider_name,
            "billed_usd": str(usd_from_nano(bill.matched_usd_nano)),
            "cost_usd": str(usd_from_nano(bill.cost_nano)),
            "drift_usd": str(usd_from_nano(drift)),
            "is_new": is_new,
        },
        link=f"/admin/invoicing/bill/{bill.pk}/change/",
    )
