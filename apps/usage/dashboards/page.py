"""The page of spending: cards, charts and tables, each with its CSV and its way to the rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.accounts.admin.limited import asking
from apps.accounts.models import Client, Team
from apps.accounts.permissions import limit
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.accounts.usable_models import aliases_of
from apps.billing.words import short_places, short_usd
from apps.usage.dashboards.choice import BY, RANGES, Choice, choice_of
from apps.usage.dashboards.drawn import charts_of
from apps.usage.dashboards.figures import Group, Spending, per_thousand, spending
from apps.usage.figures import count_text, percent, short_count
from apps.usage.reports.query import BadQuery, Dimension, Scope, Value
from apps.usage.reports.summary import Figures
from chatvault.lib import clock
from chatvault.lib.money import format_usd, usd_from_nano

MOST_CHOICES: Final = 500
_INSTANT: Final = timedelta(microseconds=1)
_COUNTS: Final = (
    "requests", "errors", "input_tokens", "cached_input_tokens", "output_tokens",
)  # fmt: skip
_TO_LOG: Final = frozenset(
    {
        *(Dimension.TEAM, Dimension.CLIENT, Dimension.KEY, Dimension.ALIAS),
        *(Dimension.DEPLOYMENT, Dimension.USER, Dimension.PROVIDER, Dimension.TAG),
    }
)


@dataclass(frozen=True)
class Card:
    title: str
    value: str
    note: str
    is_bad: bool = False


def spending_page(request: HttpRequest) -> dict[str, Any]:
    """What `usage/spending.html` shows. Amounts of cost and margin are for those who may see the
    books of the whole installation."""
    who = asking(request)
    choice = choice_of(request.GET.dict(), clock.now())
    sees_cost = who.may(Capability.BILLING_READ)
    context = {
        "title": "Spending",
        "choice": choice,
        "ranges": RANGES.items(),
        "dimensions": [(dimension.value, label) for dimension, label in BY.items()],
        "by_label": BY[choice.by],
        "sees_cost": sees_cost,
        "csv_url": choice.address(format="csv"),
        "time_csv_url": choice.address(format="csv", table="time"),
        "problems": choice.problems,
        **_choices(who, choice),
    }
    try:
        found = spending(choice, _scope(who))
    except BadQuery as bad:
        return context | {"problems": [*choice.problems, bad.message], "found": None}
    groups = [group for group in found.groups if not group.now.is_empty]
    places = _Places.of([found.now, *(group.now for group in groups)])
    moved = _Places.of([one for group in found.movers for one in (group.before, group.now)])
    return context | {
        "found": found,
        "has_traffic": bool(found.now.of("requests")),
        "cards": _cards(found, sees_cost=sees_cost),
        "charts": charts_of(found, sees_cost=sees_cost),
        "movers": [_row(group, choice, moved) for group in found.movers],
        "rows": [_row(group, choice, places) for group in groups],
        "total": _sums(found.now, places),
    }


def spending_csv(request: HttpRequest) -> tuple[str, str]:
    """The name and the text of the table by group, or of the charts (`table=time`): exact amounts
    in USD; an empty cell is no data. Raises BadQuery."""
    who = asking(request)
    choice = choice_of(request.GET.dict(), clock.now())
    found = spending(choice, _scope(who))
    sees_cost = who.may(Capability.BILLING_READ)
    is_by_time = request.GET.get("table") == "time"
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerows(_lines_by_time(found, sees_cost) if is_by_time else _lines(found, sees_cost))
    kind = "over-time" if is_by_time else f"by-{choice.by.value}"
    return f"spending-{kind}-{choice.first}-{choice.last}.csv", out.getvalue()


def _lines(found: Spending, sees_cost: bool) -> Iterator[list[str]]:
    head = [BY[found.choice.by], *_COUNTS, "charged_usd", "charged_before_usd"]
    yield head + (["cost_usd", "margin_usd"] if sees_cost else [])
    for group in found.groups:
        figures = group.now
        amounts = [figures.charged_nano, group.before.charged_nano]
        if sees_cost:
            amounts += [figures.cost_nano, figures.margin_nano]
        counts = [_cell(figures.of(name)) for name in _COUNTS]
        yield [harmless(group.label), *counts, *map(_amount, amounts)]


def _lines_by_time(found: Spending, sees_cost: bool) -> Iterator[list[str]]:
    """What the charts show, by bucket."""
    head = ["start", *_COUNTS, "charged_usd", *(["cost_usd", "margin_usd"] if sees_cost else [])]
    yield head + [harmless(f"charged_usd of {label}") for label, _ in found.series]
    for number, (at, figures) in enumerate(zip(found.labels, found.whole, strict=True)):
        amounts = [figures.charged_nano]
        if sees_cost:
            amounts += [figures.cost_nano, figures.margin_nano]
        amounts += [values[number] for _, values in found.series]
        counts = [_cell(figures.of(name)) for name in _COUNTS]
        yield [at.isoformat(), *counts, *map(_amount, amounts)]


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _scope(who: Principal) -> Scope:
    return Scope(team_ids=who.teams_with(Capability.USAGE_READ))


def _choices(who: Principal, choice: Choice) -> dict[str, Any]:
    """What the form offers, and what is chosen."""
    teams = limit(Team.objects.order_by("name"), who).values_list("pk", "name")
    clients = limit(Client.objects.order_by("name"), who).values_list("pk", "name")
    aliases = aliases_of(who).order_by("name").values_list("name", flat=True)
    offered: list[tuple[Dimension, str, list[tuple[Value, str]]]] = [
        (Dimension.TEAM, "Team", list(teams[:MOST_CHOICES])),
        (Dimension.CLIENT, "Client", list(clients[:MOST_CHOICES])),
        (Dimension.ALIAS, "Model", [(name, name) for name in aliases[:MOST_CHOICES]]),
    ]
    return {
        "offered": [
            {
                "name": dimension.value,
                "label": label,
                "choices": [
                    (value, name, choice.filters.get(dimension) == (value,))
                    for value, name in choices
                ],
            }
            for dimension, label, choices in offered
        ],
        "kept": [
            (dimension.value, values[0])
            for dimension, values in choice.filters.items()
            if dimension not in {one for one, *_ in offered}
        ],
    }


def _cards(found: Spending, *, sees_cost: bool) -> list[Card]:
    now, before = found.now, found.before
    requests, errors = now.of("requests") or 0, now.of("errors") or 0
    has_many_errors = errors * 20 > requests
    cards = [
        Card("Charged", _money(now.charged_nano), _against(now.charged_nano, before.charged_nano)),
        Card("Requests", count_text(requests), _of_errors(errors, requests), has_many_errors),
        Card(
            "Per 1,000 requests", _money(per_thousand(now)),
            _against(per_thousand(now), per_thousand(before)),
        ),
        Card("Caches saved", _money(found.saved_nano), _of_cache(now)),
    ]  # fmt: skip
    if sees_cost:
        margin, charged = now.margin_nano, now.charged_nano
        share = f"{100 * margin / charged:.1f} % of what is charged" if margin and charged else ""
        note = f"{share}, at a cost of {_money(now.cost_nano)}" if share else "no margin"
        cards.insert(1, Card("Margin", _money(margin), note, bool(margin and margin < 0)))
    return cards


def _of_errors(errors: int, requests: int) -> str:
    return f"{count_text(errors)} failed, {percent(errors, requests)}" if requests else "none"


def _of_cache(figures: Figures) -> str:
    cached, whole = figures.of("cached_input_tokens") or 0, figures.of("input_tokens") or 0
    return f"{percent(cached, whole)} of the prompt tokens were cached; at the prices of now"


def _against(now: int | None, before: int | None) -> str:
    if not before:
        return "nothing in as many days before"
    change = 100 * ((now or 0) - before) / before
    return f"{change:+,.0f} % against {_money(before)} before"


def _money(nano: int | None) -> str:
    return "–" if nano is None else short_usd(nano)


def _cell(value: int | None) -> str:
    return "" if value is None else str(value)


def _amount(nano: int | None) -> str:
    return "" if nano is None else f"{usd_from_nano(nano):f}"


@dataclass(frozen=True)
class _Places:
    """Of the amounts in each column, so that their points stand below each other."""

    charged: int
    cost: int
    margin: int
    thousand: int

    @classmethod
    def of(cls, rows: list[Figures]) -> _Places:
        return cls(
            short_places(row.charged_nano for row in rows),
            short_places(row.cost_nano for row in rows),
            short_places(row.margin_nano for row in rows),
            short_places(per_thousand(row) for row in rows),
        )


def _sums(figures: Figures, places: _Places) -> dict[str, str]:
    """A row's cells; what there is no data of is a dash."""
    requests, errors = figures.of("requests"), figures.of("errors")
    cached, whole = figures.of("cached_input_tokens") or 0, figures.of("input_tokens") or 0
    return {
        "requests": "–" if requests is None else count_text(requests),
        "errors": "–" if errors is None else percent(errors, requests or 0),
        "input": _short(figures.of("input_tokens")),
        "cached": percent(cached, whole),
        "output": _short(figures.of("output_tokens")),
        "charged": _even(figures.charged_nano, places.charged),
        "cost": _even(figures.cost_nano, places.cost),
        "margin": _even(figures.margin_nano, places.margin),
        "thousand": _even(per_thousand(figures), places.thousand),
    }


def _short(value: int | None) -> str:
    return "–" if value is None else short_count(value)


def _even(nano: int | None, places: int) -> str:
    return "–" if nano is None else format_usd(nano, places)


def _row(group: Group, choice: Choice, places: _Places) -> dict[str, Any]:
    change, sign = group.change_percent, "+" if group.change_nano > 0 else ""
    return {
        "label": group.label,
        "is_less": group.change_nano < 0,
        "before": _even(group.before.charged_nano, places.charged),
        "change": f"{sign}{format_usd(group.change_nano, places.charged)}",
        "percent": "new" if change is None else f"{change:+,.0f} %",
        "log_url": _log_url(group.value, choice),
        "only_url": choice.address(**{choice.by.value: str(group.value)}),
        **_sums(group.now, places),
    }


def _log_url(value: Value, choice: Choice) -> str:
    """The request log with the rows that the number is made of."""
    told = {name.value: str(values[0]) for name, values in choice.filters.items()}
    if choice.by in _TO_LOG:
        told[choice.by.value] = str(value)
    first, last = timezone.localtime(choice.start), timezone.localtime(choice.end - _INSTANT)
    for name, at in (("from", first), ("to", last)):
        told |= {
            f"started_at_{name}_0": f"{at:%Y-%m-%d}",
            f"started_at_{name}_1": f"{at:%H:%M:%S.%f}",
        }
    return f"{reverse('admin:usage_requestlog_changelist')}?{urlencode(told)}"
