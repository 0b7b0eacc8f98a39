"""What the scenarios configure: models with known answers, and three sorts of clients."""

from collections.abc import Mapping
from typing import Any

from tests.chaos.site import Site
from tests.proofs.world import usd

TALK = "stream:24@15ms"
"""24 tokens, 15 ms each: long enough to be cut off."""
BRIEF = "stream:6"
CENT = "stream:1"
SLOW_CENT = "stream:1@1500ms"
SHAKY = "fault:500"
"""Always an error of the provider: what goes to `twice` needs a second attempt."""
CENT_NANO = 1_000_000
"""What a request to `cent` costs, at most and always."""
RICH_NANO = 1_000_000_000_000
TARGETS = {
    "talk": [TALK],
    "brief": [BRIEF],
    "cent": [CENT],
    "slow-cent": [SLOW_CENT],
    "twice": [SHAKY, BRIEF],
}
PRICES = [
    {"model": TALK, "input": "3", "output": "15"},
    {"model": BRIEF, "input": "3", "output": "15"},
    {"model": SHAKY, "input": "3", "output": "15"},
    {"model": SLOW_CENT, "input": "0", "output": "0", "per_request": "0.001"},
    {"model": CENT, "input": "0", "output": "0", "per_request": "0.001"},
]


def models(site: Site) -> dict[str, Any]:
    """The sections of a document up to the tier `chaos`."""
    served = sorted({model for models in TARGETS.values() for model in models})
    return {
        "providers": [{"name": "witness", "family": "openai", "base_url": site.provider.url}],
        "deployments": [{"name": model, "provider": "witness", "model": model} for model in served],
        "aliases": [
            {
                "name": alias,
                "strategy": "ordered",
                "targets": [{"deployment": model} for model in models],
            }
            for alias, models in TARGETS.items()
        ],
        "price_books": [{"name": "chaos", "prices": PRICES}],
        "pricing_tiers": [{"name": "chaos", "price_book": "chaos"}],
        "teams": [{"name": "chaos"}],
    }


def clients(
    site: Site, budgets: Mapping[str, int], free: tuple[str, ...] = (), period: str = "total"
) -> list[dict[str, Any]]:
    """Clients with a budget in nano-USD each, and some without any limit."""
    return [
        *[_client(site, name, **_budget(nano, period)) for name, nano in budgets.items()],
        *[_client(site, name) for name in free],
    ]


def _client(site: Site, name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "team": "chaos",
        "tier": "chaos",
        "aliases": list(TARGETS),
        "keys": [{"name": "one", "secret": site.secret_of(name)}],
        **more,
    }


def _budget(nano: int, period: str) -> dict[str, Any]:
    return {
        "budgets": [{"amount_usd": usd(nano), "period": period}],
        "quotas": [{"unit": "concurrency", "ceiling": 1000}],
    }


def amounts(budgets: Mapping[str, int], period: str = "total") -> dict[str, Any]:
    """A document that changes budgets and nothing else."""
    changed = [
        {"name": name, "team": "chaos", "budgets": [{"amount_usd": usd(nano), "period": period}]}
        for name, nano in budgets.items()
    ]
    return {"clients": changed}


def charged(site: Site, names: Mapping[str, Any]) -> dict[str, int]:
    """Nano-USD that each client owes by the ledger."""
    rows = dict(
        site.query(
            "SELECT c.name, -SUM(l.amount_nano) FROM billing_ledgerentry l "
            "JOIN accounts_client c ON c.id = l.client_id "
            "WHERE l.account = 'client' GROUP BY c.name"
        )
    )
    return {name: rows.get(name, 0) for name in names}
