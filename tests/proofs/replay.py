"""A real day's traffic through the real gateway: the ledger is what the provider's own log says.

The trace gives arrival times and sizes; the amounts are worked out here a second time, in
fractions, from what the fake provider says it told.
"""

import asyncio
import csv
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from tests.fakes.upstream import Seen
from tests.proofs import second_opinion
from tests.proofs.figures import Figures
from tests.proofs.stage import Stage, wait_until
from tests.proofs.wire import Answer, Wire
from tests.proofs.world import usd

TRACE = Path(os.environ.get("CHATVAULT_SHARED", "../shared")) / "traces/azure_llm_2023_conv.csv"
AT_ONCE = 24
POOR = "poor"
_POOR_NANO_A_REQUEST = 20_000

RATES: dict[str, dict[str, str]] = {
    "told-small": {"input": "0.15", "output": "0.6", "cached_input": "0.075"},
    "told-sonnet": {
        "input": "3", "output": "15", "cached_input": "0.3", "cache_write": "3.75",
    },
    "told-pro": {
        "input": "1.25", "output": "10", "cached_input": "0.31", "reasoning": "10.5",
        "per_request": "0.000000003",
    },
}  # fmt: skip
"""By model, in USD per 1 M tokens; one has a fee of 3 nano-USD a request."""
FAMILIES = {"told-small": "openai", "told-sonnet": "anthropic", "told-pro": "gemini"}
TIERS = {"list": "0", "plus": "7.25", "less": "-12.5"}
CLIENTS = {
    "shop": ("retail", "list"),
    "search": ("retail", "plus"),
    "desk": ("support", "less"),
    "bot": ("support", "plus"),
    "lab": ("research", "list"),
    POOR: ("research", "plus"),
}
READERS = ["shop", "desk", "lab"]
"""One client of each team."""


class Arrival(NamedTuple):
    at_s: float
    prompt: int
    completion: int


@dataclass(slots=True)
class Asked:
    """One request and what its client got."""

    nonce: str
    client: str
    model: str
    answer: Answer


def arrivals(most: int | None = None) -> list[Arrival]:
    """The trace, in order. Raises FileNotFoundError where it is not."""
    with TRACE.open(newline="") as lines:
        rows = list(csv.DictReader(lines))[:most]
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    return [
        Arrival(at - times[0], int(row["ContextTokens"]), int(row["GeneratedTokens"]))
        for at, row in zip(times, rows, strict=True)
    ]


def document(stage: Stage, poor_nano: int) -> dict[str, Any]:
    """Three providers, three price lists, three tiers, six clients; one of them has little."""
    return {
        "providers": [
            {"name": family, "family": family, "base_url": _url(stage, family)}
            for family in FAMILIES.values()
        ],
        "deployments": [
            {"name": model, "provider": family, "model": model, "max_output_tokens": 4096}
            for model, family in FAMILIES.items()
        ],
        "aliases": [{"name": model, "targets": [{"deployment": model}]} for model in FAMILIES],
        "price_books": [
            {"name": "trace", "prices": [{"model": name, **rates} for name, rates in RATES.items()]}
        ],
        "pricing_tiers": [
            {"name": name, "price_book": "trace", "markup_percent": markup}
            for name, markup in TIERS.items()
        ],
        "teams": [{"name": name} for name in sorted({team for team, _ in CLIENTS.values()})],
        "clients": [_client(stage, name, *of, poor_nano) for name, of in CLIENTS.items()],
    }


def _url(stage: Stage, family: str) -> str:
    root = stage.provider.url.removesuffix("/v1")
    return {"openai": f"{root}/v1", "anthropic": root, "gemini": f"{root}/v1beta"}[family]


def _client(stage: Stage, name: str, team: str, tier: str, poor_nano: int) -> dict[str, Any]:
    amount = poor_nano if name == POOR else 1000 * 10**9
    return {
        "name": name,
        "team": team,
        "tier": tier,
        "aliases": list(FAMILIES),
        "keys": [
            {
                "name": "one",
                "secret": stage.secret_of(name),
                "scopes": ["inference", "usage:read"],
            }
        ],
        "budgets": [{"amount_usd": usd(amount), "period": "total"}],
    }


async def replay(stage: Stage, trace: Sequence[Arrival], speed: float, seed: int) -> list[Asked]:
    """All arrivals in their order, `speed` times as fast, at most AT_ONCE at a time."""
    chance = random.Random(seed)
    pending = iter([_request(number, arrival, chance) for number, arrival in enumerate(trace)])
    log: list[Asked] = []
    began = time.monotonic()

    async def one_caller(requests: Iterator[tuple[float, str, str, dict[str, Any]]]) -> None:
        wire = Wire(stage.url)
        for at_s, client, nonce, body in requests:
            await asyncio.sleep(max(0.0, at_s / speed - (time.monotonic() - began)))
            answer = await wire.post("/v1/chat/completions", stage.key_of(client), body)
            log.append(Asked(nonce, client, body["model"], answer))
        wire.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_caller(pending))
    return log


def _request(
    number: int, arrival: Arrival, chance: random.Random
) -> tuple[float, str, str, dict[str, Any]]:
    """Sizes are the trace's; who asks, which model, and what was cached are drawn."""
    model = chance.choice(list(FAMILIES))
    prompt, completion = max(arrival.prompt, 1), max(arrival.completion, 1)
    told = {"prompt": prompt, "completion": completion, "nonce": number}
    if chance.random() < 0.4:
        told["cached"] = chance.randrange(prompt + 1)
    if FAMILIES[model] == "anthropic" and chance.random() < 0.3:
        told["cache_write"] = chance.randrange(prompt - told.get("cached", 0) + 1)
    if FAMILIES[model] != "anthropic" and chance.random() < 0.3:
        told["reasoning"] = chance.randrange(completion + 1)
    client = chance.choice(list(CLIENTS))
    body: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "system", "content": "word" * prompt},
            {"role": "user", "content": json.dumps(told)},
        ],
        "stream": chance.random() < 0.5,
        "max_tokens": max(completion, 16),
    }
    if FAMILIES[model] == "openai":
        body["metadata"] = {"project": chance.choice(("atlas", "borealis"))}
    return arrival.at_s, client, str(number), body


def expected(seen: Seen, client: str) -> tuple[int, int]:
    """Cost and charge in nano-USD, from what the provider told."""
    rates = {name: Fraction(usd_) for name, usd_ in RATES[seen.model].items()}
    told = seen.told
    plain = told["prompt"] - told["cached"] - told["cache_write"]
    answer = told["completion"] - told["reasoning"]
    per_million = (
        plain * rates["input"]
        + told["cached"] * rates["cached_input"]
        + told["cache_write"] * rates.get("cache_write", rates["input"])
        + answer * rates["output"]
        + told["reasoning"] * rates.get("reasoning", rates["output"])
    )
    exact = per_million * 1000 + rates.get("per_request", Fraction(0)) * 10**9
    markup = 1 + Fraction(TIERS[CLIENTS[client][1]]) / 100
    return _half_up(exact), _half_up(exact * markup)


def _half_up(amount: Fraction) -> int:
    return int(amount + Fraction(1, 2))


def prove(stage: Stage, trace: Sequence[Arrival], *, speed: float, seed: int = 1) -> Figures:
    figures = Figures("replay")
    poor_nano = len(trace) * _POOR_NANO_A_REQUEST
    stage.apply(document(stage, poor_nano))
    began = time.monotonic()
    log = asyncio.run(replay(stage, trace, speed, seed))
    figures.note(requests=len(log), seconds=round(time.monotonic() - began, 1))
    wait_until(stage.is_healed)
    compare(stage, log, figures)
    figures.require(poor_overspent=(max(0, _total(stage, POOR) - poor_nano), 0))
    figures.require(verify_ledger=(stage.verdict(), "clean"))
    second_opinion.compare(stage, READERS, figures, _days())
    return figures.show()


def _days() -> tuple[str, str]:
    """Yesterday until the day after tomorrow: all of it."""
    today = datetime.now(UTC).date()
    return str(today - timedelta(days=1)), str(today + timedelta(days=2))


def compare(stage: Stage, log: Sequence[Asked], figures: Figures) -> None:
    """Every request: the ledger's three accounts against the oracle, to the nano-dollar."""
    ledger = _ledger(stage)
    oracle = {str(seen.told["nonce"]): seen for seen in stage.provider.seen() if seen.told}
    statuses = Counter(str(asked.answer.status) for asked in log)
    answered = [asked for asked in log if asked.answer.is_acknowledged]
    wrong, cost_sum, charge_sum = [], 0, 0
    for asked in answered:
        cost, charge = expected(oracle[asked.nonce], asked.client)
        cost_sum, charge_sum = cost_sum + cost, charge_sum + charge
        right = {"client": -charge, "provider": cost, "margin": charge - cost}
        if ledger.pop(asked.answer.request_id, {}) != {k: v for k, v in right.items() if v}:
            wrong.append(asked)
    refused = Counter(asked.answer.error_code for asked in log if not asked.answer.is_acknowledged)
    figures.note(statuses=dict(statuses), refused=dict(refused), cost_nano=cost_sum)
    figures.require(
        wrong=(len(wrong), 0),
        in_the_ledger_only=(len(ledger), 0),
        in_the_oracle_only=(len(oracle) - len(answered), 0),
        charged_nano=(_total(stage), charge_sum),
        refused_otherwise=(
            sum(
                asked.client != POOR
                or asked.answer.error_code not in ("budget_exhausted", "budget_reserved_in_flight")
                for asked in log
                if not asked.answer.is_acknowledged
            ),
            0,
        ),
    )


def _ledger(stage: Stage) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for request_id, account, nano in stage.query(
        "SELECT request_id, account, SUM(amount_nano) FROM billing_ledgerentry "
        "GROUP BY request_id, account"
    ):
        found.setdefault(request_id, {})[account] = nano
    return found


def _total(stage: Stage, client: str | None = None) -> int:
    only = "" if client is None else " AND c.name = ?"
    rows = stage.query(
        "SELECT -SUM(l.amount_nano) FROM billing_ledgerentry l JOIN accounts_client c "
        "ON c.id = l.client_id WHERE l.account = 'client'" + only,
        *([] if client is None else [client]),
    )
    return rows[0][0] or 0
