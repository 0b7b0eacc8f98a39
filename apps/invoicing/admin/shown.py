"""What the page of a bill shows: figures and tables as text, in a fixed number of queries."""

from __future__ import annotations

from typing import Any, Final

from apps.configuration.models import JobRun
from apps.invoicing import bills, reconcile
from apps.invoicing.models import Bill, BillAdjustment
from chatvault.lib.money import format_usd, places_of, usd_from_nano

MOST_ROWS: Final = 500
_JOBS: Final = ("read-bill", "compare-bill", "book-bill-adjustment", "undo-bill-adjustment")


def bill_page(bill: Bill) -> dict[str, Any]:
    adjustments = list(bill.adjustments.prefetch_related("lines"))
    standing = next((each for each in adjustments if each.state != "undone"), None)
    lines = list(bill.lines.all()[: MOST_ROWS + 1])
    return {
        "figures": _figures(bill),
        "lines": _lines(bill, lines[:MOST_ROWS]),
        "more_lines": len(lines) > MOST_ROWS,
        "unmatched": _unmatched(bill),
        **_matches(bill),
        "adjustments": [_adjustment(each) for each in adjustments],
        "standing": standing,
        "is_unfinished": standing is not None and standing.state in ("booking", "undoing"),
        "job": _job(bill, standing),
        "most_rows": MOST_ROWS,
    }


def _figures(bill: Bill) -> list[tuple[str, str]]:
    found = [
        ("State", bill.get_state_display()),
        ("Format", bills.FORMATS[bill.form][0]),
        ("File", f"{bill.file_name} ({bill.file_bytes:,} bytes)"),
        ("Days", f"in {bill.time_zone}"),
    ]
    if bill.has_days:
        days = f"{bill.starts_on:%Y-%m-%d} to {bill.ends_on:%Y-%m-%d}, in {bill.time_zone}"
        found[3] = ("Days", days)
        found.append(("Lines of the file", f"{bill.row_count:,}"))
        found.append(("Billed", format_usd(bill.usd_nano)))
        if bill.currency != "USD":
            amount = f"{usd_from_nano(bill.amount_nano).normalize():f} {bill.currency}"
            found.append(("In its currency", amount))
        found.append(("Of it matched", format_usd(bill.matched_usd_nano)))
    if bill.compared_at is not None:
        share = reconcile.percent(bill.drift_nano, bill.matched_usd_nano)
        drift = format_usd(bill.drift_nano) + (f" ({share} %)" if share is not None else "")
        found.append(("Our cost", format_usd(bill.cost_nano)))
        found.append(("Drift", f"{drift}, {'beyond' if bill.is_drifting else 'within'} tolerance"))
        found.append(("Compared", f"{bill.compared_at:%Y-%m-%d %H:%M} UTC"))
    return found


def _lines(bill: Bill, lines: list[Any]) -> list[dict[str, Any]]:
    amount_places = places_of(line.amount_nano for line in lines)
    usd_places = places_of(line.usd_nano for line in lines)
    return [_line(bill, line, amount_places, usd_places) for line in lines]


def _line(bill: Bill, line: Any, amount_places: int, usd_places: int) -> dict[str, Any]:
    return {
        "day": line.day,
        "billed_model": line.billed_model or "(none)",
        "model": line.model or "–",
        "amount": f"{usd_from_nano(line.amount_nano):.{amount_places}f} {bill.currency}",
        "usd": format_usd(line.usd_nano, usd_places),
        "rate_day": line.rate_day,
        "rows": line.rows,
        "first_row": line.first_row,
        "unmatched": line.unmatched,
    }


def _unmatched(bill: Bill) -> list[dict[str, Any]]:
    """By name and reason, for whoever adds match rules."""
    found: dict[tuple[str, str], int] = {}
    for line in bill.lines.exclude(unmatched=""):
        key = (line.billed_model or "(none)", line.unmatched)
        found[key] = found.get(key, 0) + line.usd_nano
    return [
        {"name": name, "why": why, "usd": format_usd(nano), "is_unknown": why == "unknown model"}
        for (name, why), nano in sorted(found.items())
    ]


def _matches(bill: Bill) -> dict[str, Any]:
    """Each day and model, and the sum of those that are shown."""
    rows = []
    so_far = 0
    found = list(bill.matches.all()[:MOST_ROWS])
    places = places_of(n for each in found for n in (each.billed_nano, each.cost_nano))
    for match in found:
        so_far += match.drift_nano
        share = reconcile.percent(match.drift_nano, match.billed_nano)
        rows.append(
            {
                "day": match.day,
                "model": match.model,
                "requests": f"{match.requests:,}",
                "billed": format_usd(match.billed_nano, places) if match.billed_nano else "–",
                "cost": format_usd(match.cost_nano, places),
                "drift": format_usd(match.drift_nano, places),
                "percent": f"{share} %" if share is not None else "–",
                "so_far": format_usd(so_far, places),
                "is_off": reconcile.is_drift(match.billed_nano, match.cost_nano),
            }
        )
    sums = {
        "requests": f"{sum(each.requests for each in found):,}",
        "billed": format_usd(sum(each.billed_nano for each in found), places),
        "cost": format_usd(sum(each.cost_nano for each in found), places),
        "drift": format_usd(so_far, places),
    }
    return {"matches": rows, "match_sums": sums}


def _adjustment(made: BillAdjustment) -> dict[str, Any]:
    left = [line for line in made.lines.all() if line.unmatched]
    return {
        "number": made.number,
        "state": made.get_state_display(),
        "amount": format_usd(made.amount_nano),
        "requests": f"{made.requests:,}",
        "reason": made.reason,
        "author": made.author_name,
        "undone_by": made.undone_by,
        "created_at": made.created_at,
        "problem": made.problem,
        "batch_id": made.batch_id,
        "left": [f"{line.day:%Y-%m-%d} {line.model}: {line.unmatched}" for line in left[:20]],
    }


def _job(bill: Bill, standing: BillAdjustment | None) -> JobRun | None:
    """The last run that concerns the bill, while it waits, works or has failed."""
    wanted = [{"bill_id": bill.pk}]
    if standing is not None:
        wanted.append({"adjustment_id": standing.pk})
    runs = JobRun.objects.filter(name__in=_JOBS, arguments__in=wanted).order_by("-pk")
    last = runs.first()
    return last if last is not None and last.state != JobRun.State.DONE else None
