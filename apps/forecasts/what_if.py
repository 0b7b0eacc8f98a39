"""A client's requests priced as if something had been otherwise.

Row by row where the rows are kept and not too many: then it is what would have been booked, to the
nano-USD. Else by hourly sums, at the rates of the hour's mean prompt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from django.db.models import Q, QuerySet

from apps.billing import pricing
from apps.forecasts.models import WhatIf
from apps.forecasts.otherwise import Otherwise
from apps.providers.adapters.contract import Usage
from apps.usage import formula
from apps.usage.models import HourlyRollup, KeptSince, RequestLog

MOST_ROWS: Final = 200_000
CHUNK: Final = 2_000
EMBEDDINGS: Final = "embeddings"
_NOTHING_USED: Final = RequestLog.UsageSource.NONE
_SUMMED: Final = Usage.__struct_fields__
Progress = Callable[[int, int], None]


@dataclass
class Line:
    """Of one model. `left_out` are requests that would have no price: their amounts of now are
    apart from those that are compared."""

    requests: int = 0
    left_out: int = 0
    cost_now: int = 0
    cost_then: int = 0
    charged_now: int = 0
    charged_then: int = 0
    charged_left_out: int = 0


@dataclass
class Result:
    is_exact: bool
    lines: dict[str, Line] = field(default_factory=lambda: defaultdict(Line))
    notes: list[str] = field(default_factory=list)


def rows_of(asked: WhatIf) -> QuerySet[RequestLog]:
    rows = RequestLog.objects.filter(
        client_id=asked.client_id, started_at__gte=asked.starts_at, started_at__lt=asked.ends_at
    )
    return rows.filter(alias=asked.only_alias) if asked.only_alias else rows


def count_of(asked: WhatIf, most: int) -> int:
    """How many rows there are, but no more than `most` and one."""
    return rows_of(asked).order_by()[: most + 1].count()


def work_out(asked: WhatIf, progress: Progress) -> Result:
    """Price all of it again. Raises nothing for what has no price: that is left out and said."""
    otherwise = Otherwise(asked)
    count = count_of(asked, MOST_ROWS)
    if count <= MOST_ROWS and not _is_forgotten(asked):
        result = _by_rows(asked, otherwise, count, progress)
    else:
        result = _by_hours(asked, otherwise, progress)
        result.notes.append(
            "Worked out from hourly sums: prices that depend on the length of a prompt are taken "
            "at the mean prompt of the hour, and a least charge once for each answered request."
        )
    result.notes += otherwise.notes()
    return result


def _is_forgotten(asked: WhatIf) -> bool:
    kept_since = KeptSince.of(KeptSince.Subject.REQUESTS)
    return kept_since is not None and asked.starts_at < kept_since


def _by_rows(asked: WhatIf, otherwise: Otherwise, count: int, progress: Progress) -> Result:
    result = Result(is_exact=True)
    done = 0
    for rows in _chunks(rows_of(asked)):
        otherwise.load(rows)
        for row in rows:
            _add_row(result.lines[row.alias], row, otherwise)
        done += len(rows)
        progress(done, max(count, done))
    return result


def _chunks(rows: QuerySet[RequestLog]) -> Iterator[list[RequestLog]]:
    """By when they began; no cursor stays open between two of them."""
    ordered = rows.order_by("started_at", "pk")
    left = ordered
    while some := list(left[:CHUNK]):
        yield some
        last = some[-1]
        left = ordered.filter(
            Q(started_at__gt=last.started_at) | Q(started_at=last.started_at, pk__gt=last.pk)
        ).filter(started_at__gte=last.started_at)


def _add_row(line: Line, row: RequestLog, otherwise: Otherwise) -> None:
    line.requests += 1
    if row.usage_source == _NOTHING_USED:
        return
    usage = formula.usage_of(row)
    price, terms = otherwise.of_row(row)
    if price is None:
        _leave_out(line, 1, row.charged_nano)
        return
    line.cost_now += row.cost_nano
    line.charged_now += row.charged_nano
    tier = otherwise.service_tier(formula.service_tier_of(row), price)
    bill = pricing.bill(otherwise.usage(usage), price, terms, tier, row.started_at.timestamp())
    line.cost_then += bill.cost_nano
    line.charged_then += bill.charged_nano


def _by_hours(asked: WhatIf, otherwise: Otherwise, progress: Progress) -> Result:
    result = Result(is_exact=False)
    hours = HourlyRollup.objects.filter(
        client_id=asked.client_id, hour__gte=asked.starts_at, hour__lt=asked.ends_at
    )
    if asked.only_alias:
        hours = hours.filter(alias=asked.only_alias)
    total = hours.count()
    for done, hour in enumerate(hours.order_by("hour", "pk").iterator(CHUNK), 1):
        _add_hour(result.lines[hour.alias], hour, otherwise)
        if done % CHUNK == 0:
            progress(done, total)
    progress(total, total)
    return result


def _add_hour(line: Line, hour: HourlyRollup, otherwise: Otherwise) -> None:
    count = hour.requests - hour.errors
    line.requests += hour.requests
    if count <= 0 or not (hour.input_tokens or hour.output_tokens):
        line.cost_now += hour.cost_nano
        line.cost_then += hour.cost_nano
        line.charged_now += hour.charged_nano
        line.charged_then += hour.charged_nano
        return
    price, terms = otherwise.of_hour(hour)
    if price is None:
        _leave_out(line, hour.requests, hour.charged_nano)
        return
    line.cost_now += hour.cost_nano
    line.charged_now += hour.charged_nano
    mean, rest = _means(otherwise.usage(_sums_of(hour)), count)
    at_s, tier = hour.hour.timestamp(), otherwise.service_tier("", price)
    bill = pricing.bill(mean, price, terms, tier, at_s)
    # what does not divide is billed at the same rates, without what is charged by request
    odd_price = msgspec.structs.replace(price, per_request=0)
    odd_terms = msgspec.structs.replace(terms, minimum_nano=0)
    odd = pricing.bill(rest, odd_price, odd_terms, tier, at_s)
    line.cost_then += bill.cost_nano * count + odd.cost_nano
    line.charged_then += bill.charged_nano * count + odd.charged_nano


def _leave_out(line: Line, count: int, charged_nano: int) -> None:
    line.left_out += count
    line.charged_left_out += charged_nano


def _sums_of(hour: HourlyRollup) -> Usage:
    return Usage(**{name: getattr(hour, name) for name in _SUMMED})


def _means(sums: Usage, count: int) -> tuple[Usage, Usage]:
    means: dict[str, Any] = {}
    rests: dict[str, Any] = {}
    for name in _SUMMED:
        means[name], rests[name] = divmod(getattr(sums, name), count)
    return Usage(**means), Usage(**rests)
