"""Made-up usage into the tables, as ingest would have left it: rows, calls, ledger, sums."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection, models, transaction

from apps.billing import budget_windows
from apps.usage import day_sums, partitions, rollups
from apps.usage.batch import LATE_REASON
from apps.usage.models import Attempt, HourlyRollup, RequestLog
from apps.usage.rows import text_of
from apps.usage.sample import traffic
from apps.usage.sample.traffic import Trace
from apps.usage.sample.world import World
from chatvault.lib import clock

CHUNK: Final = 50_000
_DAY: Final = timedelta(days=1)
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """So many requests over the days before `until`; the same seed makes the same ones."""

    rows: int
    days: int
    seed: int
    until: datetime
    trace: Trace | None = None

    def plan(self) -> list[tuple[datetime, int]]:
        """The days with their numbers of requests, which add up to what was asked for."""
        last = self.until.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        found = [last - _DAY * back for back in range(self.days, 0, -1)]
        shares = [traffic.share_of(day) for day in found]
        counts = [int(self.rows * share / sum(shares)) for share in shares]
        counts[-1] += self.rows - sum(counts)
        return list(zip(found, counts, strict=True))


def load(world: World, order: Order, tell: Tell) -> int:
    """Returns how many requests were made. A day is there as a whole or not at all."""
    import numpy as np

    done, began = 0, clock.monotonic()
    plan = order.plan()
    _make_partitions([day for day, _ in plan])
    for number, (day, count) in enumerate(plan):
        rng = np.random.default_rng([order.seed, number])
        with transaction.atomic():
            for size in _chunks(count):
                found = traffic.columns_of(world, day, size, rng, order.trace)
                _insert(RequestLog, _REQUEST, _requests(world, found))
                _insert(Attempt, _ATTEMPT, _attempts(world, found))
            budget_windows.lock()
            _book(world, day)
            _sum_up(day)
        done += count
        pace = done / max(clock.monotonic() - began, 0.001)
        tell(f"{day:%Y-%m-%d}: {done:,} of {order.rows:,} requests, {pace:,.0f} a second")
    return done


def _sum_up(day: datetime) -> None:
    """All at once where there is nothing yet; beside real requests hour by hour."""
    hours = HourlyRollup.objects.filter(hour__gte=day, hour__lt=day + _DAY)
    if hours.exists():
        rollups.recompute(day, day + _DAY)
    else:
        day_sums.insert_hours(day, day + _DAY)


def _chunks(count: int) -> Iterator[int]:
    while count > 0:
        yield min(count, CHUNK)
        count -= CHUNK


def _make_partitions(days: Sequence[datetime]) -> None:
    """Of the past, which nobody makes ahead."""
    for day in days:
        partitions.ensure(1, now=day)


_REQUEST: Final = (
    *("request_id", "started_at", "team_id", "client_id", "key_id", "team_name", "client_name"),
    *("key_name", "alias", "deployment_id", "deployment_name", "provider_name", "provider_id"),
    *("operation", "is_stream", "outcome", "http_status", "error_code", "usage_source"),
    *("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens"),
    *("cache_write_1h_tokens", "reasoning_tokens", "audio_input_tokens", "audio_output_tokens"),
    *("cost_nano", "charged_nano", "upper_bound_nano", "price_id", "tier_id", "markup_ppm"),
    *("revision", "latency_ms", "first_token_ms", "attempts", "user_id", "user_name", "tags"),
)
_ATTEMPT: Final = (
    *("request_id", "number", "deployment_id", "started_at", "duration_ms", "http_status"),
    *("error_code",),
)


def _requests(world: World, found: Any) -> list[tuple[Any, ...]]:
    ids, made = _ids(found), []
    plain = {name: values.tolist() for name, values in found.items() if name != "random"}
    for (
        request_id, at_ms, caller_at, model_at, place, ending_at, tag, stream, falls_back,
        tokens_in, tokens_out, cached, reasoning, cost, charged, first_ms, latency_ms,
    ) in zip(
        ids, plain["at_ms"], plain["caller"], plain["model"], plain["place"], plain["ending"],
        plain["tags"], plain["stream"], plain["falls_back"], plain["input_tokens"],
        plain["output_tokens"], plain["cached_input_tokens"], plain["reasoning_tokens"],
        plain["cost_nano"], plain["charged_nano"], plain["first_ms"], plain["latency_ms"],
        strict=True,
    ):  # fmt: skip
        who, model = world.callers[caller_at], world.models[model_at]
        deployment = model.deployments[int(place * len(model.deployments))]
        outcome, status, code = traffic.ending(ending_at)
        is_cut = outcome == "interrupted"
        made.append((
            request_id, text_of(at_ms), who.team_id, who.client_id, who.key_id, who.team_name,
            who.client_name, who.key_name, model.alias, *deployment, model.provider_name,
            model.provider_id, "chat", stream, outcome, status, code,
            "none" if outcome == "error" else "estimated" if outcome != "ok" else "provider",
            tokens_in, tokens_out, cached, 0, 0, reasoning, 0, 0, cost, charged,
            charged * 2 if is_cut else None, model.price_id, who.tier_id,
            who.markup_percent * 10_000, 1, None if is_cut else latency_ms,
            first_ms if stream and outcome in ("ok", "cancelled") else None,
            2 if falls_back else 1, who.user_id, who.user_name, traffic.tags(tag),
        ))  # fmt: skip
    return made


def _attempts(world: World, found: Any) -> Iterator[tuple[Any, ...]]:
    """One for each request; where it fell back, a failed one before it."""
    columns = (found[name].tolist() for name in
               ("at_ms", "model", "place", "ending", "falls_back", "latency_ms"))  # fmt: skip
    for request_id, at_ms, model_at, place, ending_at, falls_back, latency_ms in zip(
        _ids(found), *columns, strict=True
    ):
        places = world.models[model_at].deployments
        deployment_id = places[int(place * len(places))][0]
        outcome, status, code = traffic.ending(ending_at)
        number = 1
        if falls_back:
            failed = (places[0][0], text_of(at_ms), 40, 503, "upstream_unavailable")
            yield (request_id, 1, *failed)
            number = 2
        took = None if outcome == "interrupted" else latency_ms
        told = (status if outcome == "error" else 200, code if outcome == "error" else "")
        began = text_of(at_ms + 45 if falls_back else at_ms)
        yield (request_id, number, deployment_id, began, took, *told)


def _ids(found: Any) -> list[str]:
    """UUIDs of version 7: their order is that of their times."""
    import numpy as np

    random = found["random"].astype(np.uint64)
    high = (found["at_ms"].astype(np.uint64) << np.uint64(16)) | np.uint64(0x7000)
    high |= random[:, 0] & np.uint64(0x0FFF)
    low = (random[:, 1] & np.uint64(0x3FFF_FFFF_FFFF_FFFF)) | np.uint64(0x8000_0000_0000_0000)
    text = np.stack([high, low], axis=1).astype(">u8").tobytes().hex()
    return [text[at : at + 32] for at in range(0, len(text), 32)]


def _insert(model: type[models.Model], columns: Sequence[str], rows: Any) -> None:
    table = model._meta.db_table
    names = ", ".join(connection.ops.quote_name(column) for column in columns)
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            marks = ", ".join(["%s"] * len(columns))
            statement = " ".join(["INSERT INTO", table, "(", names, ") VALUES (", marks, ")"])
            cursor.executemany(statement, list(rows))
            return
        texts = [name for name in columns if _is_text(model, name)]
        statement = " ".join(
            ["COPY", table, "(", names, ") FROM STDIN WITH (FORMAT csv, FORCE_NOT_NULL (",
             ", ".join(map(connection.ops.quote_name, texts)), "))"]
        )  # fmt: skip
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        with cursor.copy(statement) as copy:
            copy.write(text.getvalue())


def _is_text(model: type[models.Model], name: str) -> bool:
    return isinstance(model._meta.get_field(name), models.CharField)


def _book(world: World, day: datetime) -> None:
    """The entries of the day's requests, by the rules of the ledger; of those that were cut off
    also what a late settlement added."""
    bounds = [connection.ops.adapt_datetimefield_value(at) for at in (day, day + _DAY)]
    teams = ", ".join(["%s"] * len(world.team_ids))
    with connection.cursor() as cursor:
        for number, kind, reason, only, amounts in _BOOKINGS:
            for account, amount in amounts:
                first = ", ".join([str(number), f"'{account}'", f"'{kind}'", amount])
                when = "" if account == "client" and not number else f"AND {amount} <> 0"
                last = f"'{reason}' FROM usage_requestlog WHERE started_at >= %s"
                words = [_COLUMNS, "SELECT request_id,", first, ",", _COPIED, last]
                words += ["AND started_at < %s", only, when, "AND team_id IN (", teams, ")"]
                statement = " ".join(words)
                cursor.execute(statement, [*bounds, *world.team_ids])


_NAMES: Final = "client_id, team_id, key_id, provider_name, user_id, alias, provider_id, tags,"
_COPIED: Final = f"{_NAMES} started_at, started_at, '', "
_COLUMNS: Final = " ".join(
    ("INSERT INTO billing_ledgerentry (request_id, number, account, kind, amount_nano,", _NAMES,
     "booked_at, created_at, author_name, reason)")
)  # fmt: skip
_CHARGE: Final = (
    ("client", "-charged_nano"),
    ("provider", "cost_nano"),
    ("margin", "(charged_nano - cost_nano)"),
)
_MORE: Final = (
    ("client", "-(charged_nano / 10)"),
    ("provider", "(cost_nano / 10)"),
    ("margin", "(charged_nano / 10 - cost_nano / 10)"),
)
_BOOKINGS: Final = (
    (0, "charge", "", "", _CHARGE),
    (1, "adjustment", LATE_REASON, "AND outcome = 'interrupted'", _MORE),
)
