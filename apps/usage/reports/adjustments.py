"""What the ledger has changed since requests were settled, dated as the requests are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from apps.usage.reports import sources
from apps.usage.reports.periods import Period, Span
from apps.usage.reports.query import Dimension, Filters, Query, Value
from apps.usage.reports.sources import Source, Statement

D = Dimension


_OF_ENTRY: Final = {D.TEAM: "team_id", D.CLIENT: "client_id", D.KEY: "key_id"}
_OF_REQUEST: Final = {
    D.USER: "COALESCE(r.user_id, q.user_id, 0)",  # entries of earlier versions say less
    D.ALIAS: "COALESCE(NULLIF(r.alias, ''), q.alias, '')",
    D.PROVIDER: "COALESCE(r.provider_id, q.provider_id, 0)",
    D.TAG: "COALESCE(r.tags, q.tags)",
    D.DEPLOYMENT: "COALESCE(q.deployment_id, 0)",
    D.OUTCOME: "COALESCE(q.outcome, '')",
    D.STATUS: "COALESCE(q.http_status, 0)",
    D.ERROR: "COALESCE(q.error_code, '')",
}
_AMOUNTS: Final = (
    "SUM(CASE WHEN r.account = 'provider' THEN r.amount_nano ELSE 0 END), "
    "SUM(CASE WHEN r.account = 'client' THEN -r.amount_nano ELSE 0 END)"
)
_ENTRIES: Final = Source(
    table="billing_ledgerentry", time="booked_at", dimensions=_OF_ENTRY | _OF_REQUEST, sums={}
)


@dataclass(frozen=True)
class Change:
    """By how much one group of one period is dearer than its rows say."""

    key: tuple[int, *tuple[Value, ...]]
    cost_nano: int
    charged_nano: int


def fetch(query: Query, periods: list[Period]) -> list[Change]:
    """The changes of all groups; a request with two tags is in both of their groups."""
    spans = [Span(number, 1, one.start, one.end) for number, one in enumerate(periods)]
    if not spans:
        return []
    width = 1 + len(query.group_by)
    found = []
    wanted = {*query.group_by, *query.filters}
    tags = {str(tag) for tag in query.filters.get(D.TAG, ())}
    for row in sources.fetch(_statement(query, spans, wanted)):
        *key, told, cost, charged = row
        has = tags_of(told) if D.TAG in wanted else []
        if tags and not tags.intersection(has):
            continue
        keys = [tuple(key[:width])]
        if D.TAG in query.group_by:
            place = 1 + query.group_by.index(D.TAG)
            shown = [tag for tag in has if not tags or tag in tags]
            keys = [(*key[:place], tag, *key[place + 1 : width]) for tag in shown]
        found += [Change(each, int(cost), int(charged)) for each in keys]
    return found


def tags_of(told: Any) -> list[str]:
    """`key=value` of each tag in what the database keeps as JSON."""
    pairs = json.loads(told) if told else None
    return [f"{key}={value}" for key, value in pairs.items()] if isinstance(pairs, dict) else []


def _statement(query: Query, spans: list[Span], wanted: set[Dimension]) -> Statement:
    found = sources.tables_of_spans([spans])
    keys = [
        "''" if dimension == D.TAG else sources.column_of(_ENTRIES, dimension)
        for dimension in query.group_by
    ]
    tags = f"COALESCE(CAST({_OF_REQUEST[D.TAG]} AS text), '')" if D.TAG in wanted else "''"
    if len(spans) == 1:
        found.add("SELECT CAST(%s AS integer) AS period", spans[0].period)
    else:
        found.say("SELECT s.period AS period")
    names = [f"k{number}" for number in range(len(keys))]
    for key, name in zip(keys, names, strict=True):
        found.say(",", key, "AS", name)
    found.say(",", tags, "AS told,", _AMOUNTS, "FROM")
    if len(spans) > 1:
        found.say("s0 s JOIN")
    found.say("billing_ledgerentry r")
    if len(spans) > 1:
        found.say("ON r.booked_at >= s.starts AND r.booked_at < s.ends")
    if wanted & _OF_REQUEST.keys() or query.scope.user_id is not None:
        found.say("LEFT JOIN usage_requestlog q ON q.request_id = r.request_id")
        found.say("AND q.started_at = r.booked_at")
    found.say("WHERE r.kind = 'adjustment'")
    if len(spans) == 1:
        bounds = sources.instant(spans[0].start), sources.instant(spans[0].end)
        found.add("AND r.booked_at >= %s AND r.booked_at < %s", *bounds)
    filters: Filters = {name: values for name, values in query.filters.items() if name != D.TAG}
    found.extend(sources.conditions(_ENTRIES, filters, query.scope))
    found.say("GROUP BY", ", ".join(["period", *names, "told"]))
    return found
