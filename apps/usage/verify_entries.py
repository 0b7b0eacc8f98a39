"""What must hold within the ledger, and between it and the request log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from apps.usage.findings import Finding, by_query, counted


def findings(entries: int, requests: int, since: str) -> Iterator[Finding]:
    yield by_query("balanced", "entries of a request and number sum to zero", entries, _UNBALANCED)
    yield by_query("charged", "every request has its charge", requests, _UNCHARGED)
    yield by_query("known", "every charge has its request", entries, _UNKNOWN, since)
    yield by_query("credited", "no request is charged less than nothing", requests, _CREDITED)
    yield by_query("duplicates", "no request is there twice", requests, _DUPLICATES)
    adjusted = counted("SELECT COUNT(*) FROM billing_ledgerentry WHERE number > 0")
    yield by_query("traceable", "adjustments name author and reason", adjusted, _UNNAMED)
    yield by_query("adjusted", "adjustments are of their charge's client", adjusted, _ASTRAY)
    yield by_query("gaps", "no adjustment is missing", adjusted, _GAPS)


# A standing amount, such as a rebate, belongs to no request: see `ledger.Standing`.
_UNBALANCED: Final = (
    "SELECT request_id, number, SUM(amount_nano) FROM billing_ledgerentry "
    "GROUP BY request_id, number HAVING SUM(amount_nano) <> 0"
)
_UNCHARGED: Final = (
    "SELECT r.request_id, r.charged_nano, l.amount_nano FROM usage_requestlog r "
    "LEFT JOIN billing_ledgerentry l ON l.request_id = r.request_id "
    "AND l.number = 0 AND l.account = 'client' "
    "WHERE l.id IS NULL OR l.amount_nano <> -r.charged_nano "
    "OR l.team_id <> r.team_id OR l.client_id <> r.client_id OR l.key_id <> r.key_id "
    "OR l.booked_at <> r.started_at OR l.alias NOT IN ('', r.alias) "
    "OR coalesce(l.user_id, r.user_id, 0) <> coalesce(r.user_id, 0) "
    "OR coalesce(l.provider_id, r.provider_id, 0) <> coalesce(r.provider_id, 0)"
)
_UNKNOWN: Final = (
    "SELECT l.request_id, l.number, l.amount_nano FROM billing_ledgerentry l "
    "LEFT JOIN usage_requestlog r ON r.request_id = l.request_id "
    "WHERE r.id IS NULL AND l.number = 0 AND l.booked_at >= %s"
)
_CREDITED: Final = (
    "SELECT l.request_id, SUM(l.amount_nano), COUNT(*) FROM billing_ledgerentry l "
    "WHERE l.account = 'client' AND SUBSTR(l.batch_id, 1, 9) <> 'standing:' "
    "GROUP BY l.request_id HAVING SUM(l.amount_nano) > 0"
)
_DUPLICATES: Final = (
    "SELECT request_id, COUNT(*) FROM usage_requestlog GROUP BY request_id HAVING COUNT(*) > 1"
)
_UNNAMED: Final = (
    "SELECT request_id, number, batch_id FROM billing_ledgerentry "
    "WHERE number > 0 AND (reason = '' OR (number > 1 AND author_name = ''))"
)
_ASTRAY: Final = (
    "SELECT a.request_id, a.number, a.batch_id FROM billing_ledgerentry a "
    "LEFT JOIN billing_ledgerentry c ON c.request_id = a.request_id "
    "AND c.number = 0 AND c.account = 'client' "
    "WHERE a.number > 0 AND SUBSTR(a.batch_id, 1, 9) <> 'standing:' AND (c.id IS NULL "
    "OR c.team_id <> a.team_id OR c.client_id <> a.client_id OR c.key_id <> a.key_id)"
)
_GAPS: Final = (
    "SELECT request_id, MAX(number), COUNT(DISTINCT number) FROM billing_ledgerentry "
    "WHERE number > 1 GROUP BY request_id HAVING MAX(number) - 1 <> COUNT(DISTINCT number)"
)
"""Numbers of people's adjustments begin at 2 and follow each other."""
