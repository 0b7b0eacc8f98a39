"""Cost and charge of requests against what their price version and terms make of their counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.db.models import F, IntegerField, Value
from django.db.models.functions import Mod

from apps.usage import formula as recomputed
from apps.usage.findings import EXAMPLES, Example, Finding
from apps.usage.models import RequestLog

_CHUNK: Final = 2000
_ALL: Final = -1


def formula(wanted: int, requests: int) -> Finding:
    """Of `wanted` requests, evenly spread, or of all. Rows whose price version is gone cannot be
    computed: they are counted in the note."""
    step = 1 if wanted == _ALL else max(1, requests // max(1, wanted))
    versions = recomputed.Versions()
    examples: list[Example] = []
    checked = wrong = gone = 0
    for rows in _chunks(step):
        versions.load(rows)
        for row in rows:
            price, terms = versions.price_of(row), versions.terms_of(row)
            if price is None or terms is None:
                gone += 1
                continue
            checked += 1
            right = recomputed.bill(row, price, terms)
            if (right.cost_nano, right.charged_nano) == (row.cost_nano, row.charged_nano):
                continue
            wrong += 1
            if len(examples) < EXAMPLES:
                examples.append(_told(row, right.cost_nano, right.charged_nano))
    note = f"{gone} requests whose price version or terms are gone were left out" if gone else ""
    name = "cost and charge equal their formula"
    return Finding(name, checked, wrong, examples, "formula", note)


def _chunks(step: int) -> Iterator[list[RequestLog]]:
    """Priced rows with a usage, by id."""
    rows = RequestLog.objects.exclude(usage_source=RequestLog.UsageSource.NONE)
    rows = rows.filter(price_id__isnull=False).order_by("pk")
    if step > 1:
        place = Mod(F("pk"), Value(step), output_field=IntegerField())
        rows = rows.annotate(place=place).filter(place=0)
    last = 0
    while some := list(rows.filter(pk__gt=last)[:_CHUNK]):
        yield some
        last = some[-1].pk


def _told(row: RequestLog, cost_nano: int, charged_nano: int) -> Example:
    text = (
        f"{row.request_id}: cost {row.cost_nano}, by its formula {cost_nano}; "
        f"charged {row.charged_nano}, by its formula {charged_nano}"
    )
    return Example(text, "request", str(row.request_id))
