"""The figures of a dry run by team, client and model: for the page, the API and CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, Final

from django.db.models import Sum

from apps.repricing.models import RepricedRequest, Repricing
from chatvault.lib.money import usd_from_nano

DIMENSIONS: Final = {
    "team": ("team_id", "team_name"),
    "client": ("client_id", "client_name"),
    "alias": ("alias", "alias"),
    "model": ("model", "model"),
    "provider": ("provider_name", "provider_name"),
}
SUMS: Final = (
    "requests", "changed", "cost_before_nano", "cost_after_nano", "charged_before_nano",
    "charged_after_nano",
)  # fmt: skip
_REQUESTS_AT_ONCE: Final = 2000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def by(repricing: Repricing, dimension: str) -> list[dict[str, Any]]:
    """Sums of one dimension, the largest change of what is charged first."""
    key, name = DIMENSIONS[dimension]
    rows = (
        repricing.lines.order_by()
        .values(key, name)
        .annotate(**{f"sum_{each}": Sum(each) for each in SUMS})
    )
    found: list[dict[str, Any]] = [
        {"name": row[name] or "(none)"} | {each: int(row[f"sum_{each}"]) for each in SUMS}
        for row in rows
    ]
    for row in found:
        row["cost_delta_nano"] = row["cost_after_nano"] - row["cost_before_nano"]
        row["charged_delta_nano"] = row["charged_after_nano"] - row["charged_before_nano"]
    found.sort(key=lambda row: (-abs(row["charged_delta_nano"]), row["name"]))
    return found


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, value: str) -> str:
        return value


def lines_csv(repricing: Repricing) -> Iterator[str]:
    """One line for each client, alias, model and provider; amounts in USD."""
    names = ("team_name", "client_name", "alias", "model", "provider_name")
    writer = csv.writer(_Echo())
    yield writer.writerow(
        [*("team", "client", "alias", "model", "provider"), "requests", "changed", *_USD]
    )
    for line in repricing.lines.order_by("team_name", "client_name", "pk"):
        words = (_text(getattr(line, name)) for name in names)
        yield writer.writerow([*words, line.requests, line.changed, *_amounts(line)])


def requests_csv(repricing: Repricing) -> Iterator[str]:
    """One line for each request that changes; amounts in USD."""
    writer = csv.writer(_Echo())
    yield writer.writerow(["request_id", "price_version", *_USD])
    last = 0
    rows = RepricedRequest.objects.filter(repricing=repricing).order_by("pk")
    while some := list(rows.filter(pk__gt=last)[:_REQUESTS_AT_ONCE]):
        for row in some:
            yield writer.writerow([row.request_id, row.price_id, *_amounts(row)])
        last = some[-1].pk


_USD: Final = (
    "cost_before_usd", "cost_after_usd", "cost_delta_usd", "charged_before_usd",
    "charged_after_usd", "charged_delta_usd",
)  # fmt: skip


def _amounts(row: Any) -> list[str]:
    found: list[str] = []
    for name in ("cost", "charged"):
        before, after = getattr(row, f"{name}_before_nano"), getattr(row, f"{name}_after_nano")
        found += [f"{usd_from_nano(nano):f}" for nano in (before, after, after - before)]
    return found


def _text(value: str) -> str:
    """Spreadsheets run what begins like a formula."""
    return f"'{value}" if value.startswith(_FORMULA) else value
