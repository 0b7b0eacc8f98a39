"""What the proofs configure: models with known answers, and clients with budgets."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from chatvault.lib.money import NANO_PER_USD
from tests.proofs.stage import Stage

TALK = "stream:24@15ms"
"""24 tokens, 15 ms each."""
BRIEF = "stream:6"
FIT = "stream:1@1500ms"
"""One token after a while: whatever is asked meanwhile meets it in flight."""
FULL = "stream:1@1400ms"
MODELS = {"talk": TALK, "brief": BRIEF, "fit": FIT, "full": FULL}
FIT_NANO = 1_000_000
"""What a request to `fit` costs, and one to `full` for one token: at most and always."""
PRICES = [
    {"model": TALK, "input": "3", "output": "15"},
    {"model": BRIEF, "input": "3", "output": "15"},
    {"model": FIT, "input": "0", "output": "0", "per_request": "0.001"},
    {"model": FULL, "input": "0", "output": "1000"},
]


def usd(nano: int) -> str:
    return str(Decimal(nano) / NANO_PER_USD)


def models(stage: Stage) -> dict[str, Any]:
    """The sections of a document up to the tier `proof`."""
    return {
        "providers": [{"name": "witness", "family": "openai", "base_url": stage.provider.url}],
        "deployments": [
            {"name": name, "provider": "witness", "model": model} for name, model in MODELS.items()
        ],
        "aliases": [{"name": name, "targets": [{"deployment": name}]} for name in MODELS],
        "price_books": [{"name": "proof", "prices": PRICES}],
        "pricing_tiers": [{"name": "proof", "price_book": "proof"}],
        "teams": [{"name": "proof"}],
    }


def clients(stage: Stage, budgets: Mapping[str, int]) -> dict[str, Any]:
    """A section of clients, each with a key and a budget in nano-USD."""
    return {"clients": [_client(stage, name, nano) for name, nano in budgets.items()]}


def _client(stage: Stage, name: str, nano: int) -> dict[str, Any]:
    return {
        "name": name,
        "team": "proof",
        "tier": "proof",
        "aliases": list(MODELS),
        "keys": [{"name": "one", "secret": stage.secret_of(name)}],
        "quotas": [{"unit": "concurrency", "ceiling": 1000}],
        "budgets": [{"amount_usd": usd(nano), "period": "total"}],
    }


def amounts(budgets: Mapping[str, int]) -> dict[str, Any]:
    """A document that changes budgets and nothing else."""
    changed = [
        {"name": name, "team": "proof", "budgets": [{"amount_usd": usd(nano), "period": "total"}]}
        for name, nano in budgets.items()
    ]
    return {"clients": changed}


def body_of(alias: str, nonce: str, *, stream: bool, most: int) -> dict[str, Any]:
    """A request whose only word is its own."""
    message = {"role": "user", "content": nonce}
    return {"model": alias, "messages": [message], "stream": stream, "max_tokens": most}


def nonce_of(body: Mapping[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def charged(stage: Stage, names: Iterable[str]) -> dict[str, int]:
    """Nano-USD that each client owes by the ledger."""
    rows = dict(
        stage.query(
            "SELECT c.name, -SUM(l.amount_nano) FROM billing_ledgerentry l "
            "JOIN accounts_client c ON c.id = l.client_id "
            "WHERE l.account = 'client' GROUP BY c.name"
        )
    )
    return {name: rows.get(name, 0) for name in names}
