"""What a repricing would change, before anything is booked."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Final

import msgspec
from django.db import transaction

from apps.accounts.models import Client, Team
from apps.billing import ledger
from apps.repricing import explaining, selection
from apps.repricing.again import Again, Pricer, is_left_out, names_of
from apps.repricing.errors import RepricingRefused
from apps.repricing.models import RepricedRequest, Repricing, RepricingLine
from apps.repricing.selection import Booked
from apps.usage.models import KeptSince, RequestLog
from chatvault.lib import clock

EXAMPLES: Final = 10
_UNPRICED_TOLD: Final = 50
_COUNTS: Final = (
    "looked_at", "changed", "left_out", "interrupted", "estimated", "became_priced", "no_price",
    "held_back", "closed",
)  # fmt: skip


class Sums(msgspec.Struct):
    """Of one client, alias, model and provider."""

    requests: int = 0
    changed: int = 0
    cost_before_nano: int = 0
    cost_after_nano: int = 0
    charged_before_nano: int = 0
    charged_after_nano: int = 0


class _Found:
    """What a dry run gathers: sums by group, never the rows."""

    def __init__(self, closed: list[Any]) -> None:
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.groups: dict[tuple[int, int, str, str, str], Sums] = {}
        self.unpriced: dict[str, int] = {}
        self.top: list[tuple[int, int, dict[str, Any]]] = []
        self.closed = closed


def run(repricing: Repricing, progress: Callable[[int, int | None], None]) -> None:
    """Price every request of the range again and keep what would change. Running it again starts
    anew. Raises RepricingRefused when the rows of the range are no longer kept."""
    _refuse_forgotten(repricing)
    RepricedRequest.objects.filter(repricing=repricing).delete()
    RepricingLine.objects.filter(repricing=repricing).delete()
    pricer = Pricer(repricing)
    mark = selection.fingerprint(repricing, pricer.versions())
    rows = selection.requests_of(repricing)
    total, done = rows.count(), 0
    found = _Found(ledger.closed_within(repricing.starts_at, repricing.ends_at))
    for some in selection.chunks_of(repricing, rows, up_to=selection.last_row_of(rows)):
        _price(repricing, pricer, some, found)
        done += len(some)
        progress(done, max(total, done))
    _keep(repricing, found, mark)


def _refuse_forgotten(repricing: Repricing) -> None:
    kept = KeptSince.of(KeptSince.Subject.REQUESTS)
    if kept is not None and repricing.starts_at < kept:
        raise RepricingRefused(
            f"Requests from before {kept:%Y-%m-%d} are no longer kept, so they cannot be priced "
            "again. Begin the range there, or adjust by hand."
        )


def _price(repricing: Repricing, pricer: Pricer, rows: list[RequestLog], found: _Found) -> None:
    booked = selection.booked_of(row.request_id for row in rows)
    changed: list[RepricedRequest] = []
    for row in rows:
        before = booked.get(row.request_id, Booked())
        again = pricer.again(row)
        cost, charged = _after(row, again, before, found)
        _add(row, again, before, (cost, charged), found)
        if (cost, charged) == (before.cost_nano, before.charged_nano):
            continue
        assert again.price is not None
        changed.append(
            RepricedRequest(
                repricing=repricing,
                request_id=row.request_id,
                price_id=again.price.id,
                cost_before_nano=before.cost_nano,
                cost_after_nano=cost,
                charged_before_nano=before.charged_nano,
                charged_after_nano=charged,
            )
        )
        _note_example(row, pricer, again, changed[-1], found)
        found.counts["became_priced"] += row.price_id is None
        found.counts["estimated"] += row.usage_source == RequestLog.UsageSource.ESTIMATED
        found.counts["closed"] += any(
            period.holds(row.team_id, row.started_at) for period in found.closed
        )
    found.counts["looked_at"] += len(rows)
    found.counts["changed"] += len(changed)
    RepricedRequest.objects.bulk_create(changed)


def _after(row: RequestLog, again: Again, before: Booked, found: _Found) -> tuple[int, int]:
    """What it would cost and be charged; as before where it is not priced again. Never so little
    that with its other corrections more would be given back than was charged."""
    if is_left_out(row):
        is_interrupted = row.outcome == RequestLog.Outcome.INTERRUPTED
        found.counts["interrupted" if is_interrupted else "left_out"] += 1
        return before.cost_nano, before.charged_nano
    if again.price is None:
        found.counts["no_price"] += 1
        name = again.model or row.alias
        if name in found.unpriced or len(found.unpriced) < _UNPRICED_TOLD:
            found.unpriced[name] = found.unpriced.get(name, 0) + 1
        return before.cost_nano, before.charged_nano
    cost = max(again.cost_nano, before.cost_nano - before.whole_cost_nano)
    charged = max(again.charged_nano, before.charged_nano - before.whole_charged_nano)
    found.counts["held_back"] += (cost, charged) != (again.cost_nano, again.charged_nano)
    return cost, charged


def _add(
    row: RequestLog, again: Again, before: Booked, after: tuple[int, int], found: _Found
) -> None:
    key = (row.team_id, row.client_id, row.alias, again.model, row.provider_name)
    sums = found.groups.get(key)
    if sums is None:
        sums = found.groups[key] = Sums()
    sums.requests += 1
    sums.changed += after != (before.cost_nano, before.charged_nano)
    sums.cost_before_nano += before.cost_nano
    sums.charged_before_nano += before.charged_nano
    sums.cost_after_nano += after[0]
    sums.charged_after_nano += after[1]


def _note_example(
    row: RequestLog, pricer: Pricer, again: Again, changed: RepricedRequest, found: _Found
) -> None:
    """The largest changes are kept with the way they come about."""
    size = abs(changed.charged_after_nano - changed.charged_before_nano) + abs(
        changed.cost_after_nano - changed.cost_before_nano
    )
    if len(found.top) == EXAMPLES and size <= found.top[0][0]:
        return
    price, terms = pricer.original(row)
    assert again.price is not None
    told = {
        "request_id": str(row.request_id),
        "row": row.pk,
        "started_at": row.started_at.isoformat(timespec="seconds"),
        "client": row.client_name or str(row.client_id),
        "model": again.model,
        "cost_before_nano": changed.cost_before_nano,
        "cost_after_nano": changed.cost_after_nano,
        "charged_before_nano": changed.charged_before_nano,
        "charged_after_nano": changed.charged_after_nano,
        "before": explaining.lines(row, price, terms),
        "after": explaining.lines(row, again.price, again.terms),
    }
    push = heapq.heapreplace if len(found.top) == EXAMPLES else heapq.heappush
    push(found.top, (size, row.pk, told))


@transaction.atomic
def _keep(repricing: Repricing, found: _Found, mark: str) -> None:
    teams = names_of(Team, (key[0] for key in found.groups))
    clients = names_of(Client, (key[1] for key in found.groups))
    RepricingLine.objects.bulk_create(
        RepricingLine(
            repricing=repricing,
            team_id=key[0],
            client_id=key[1],
            team_name=teams.get(key[0], f"team {key[0]}"),
            client_name=clients.get(key[1], f"client {key[1]}"),
            alias=key[2],
            model=key[3],
            provider_name=key[4],
            **msgspec.structs.asdict(sums),
        )
        for key, sums in sorted(found.groups.items())
    )
    for name in Sums.__struct_fields__[2:]:
        setattr(repricing, name, sum(getattr(sums, name) for sums in found.groups.values()))
    repricing.counts = found.counts
    repricing.unpriced_models = sorted(found.unpriced.items(), key=lambda one: -one[1])
    repricing.examples = [told for _, _, told in sorted(found.top, reverse=True)]
    repricing.fingerprint, repricing.trouble = mark, ""
    repricing.state, repricing.checked_at = Repricing.State.CHECKED, clock.now()
    repricing.save()


def is_stale(repricing: Repricing) -> bool:
    """Whether requests, their corrections or prices have changed since the dry run."""
    return selection.fingerprint(repricing, Pricer(repricing).versions()) != repricing.fingerprint
