from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from apps.accounts.models import ApiKey, Client, Team
from apps.billing.models import Price, PricingTier
from apps.providers.models import Alias, Credential, Deployment, Provider
from tests.factories.accounts import make_client, make_key, make_team
from tests.factories.billing import make_price, make_price_book, make_tier
from tests.factories.providers import (
    make_alias,
    make_credential,
    make_deployment,
    make_provider,
)

_DOCUMENT: dict[str, Any] = {
    "version": 1,
    "providers": [
        {
            "name": "openai",
            "family": "openai",
            "base_url": "https://api.openai.com/v1",
            "credentials": [{"name": "main", "secret": "env:OPENAI_API_KEY"}],
        }
    ],
    "deployments": [
        {
            "name": "gpt-4o-mini@openai",
            "provider": "openai",
            "credential": "main",
            "model": "gpt-4o-mini",
        }
    ],
    "aliases": [
        {
            "name": "gpt-4o-mini",
            "strategy": "weighted",
            "targets": [{"deployment": "gpt-4o-mini@openai", "weight": 1}],
        }
    ],
    "price_books": [
        {
            "name": "list",
            "prices": [
                {"model": "gpt-4o-mini", "input": "0.15", "cached_input": "0.075", "output": "0.6"}
            ],
        }
    ],
    "pricing_tiers": [{"name": "standard", "price_book": "list", "markup_percent": "0"}],
    "teams": [{"name": "research"}],
    "clients": [
        {
            "name": "notebook",
            "team": "research",
            "tier": "standard",
            "aliases": ["gpt-4o-mini"],
            "keys": [{"name": "ci"}],
            "quotas": [{"unit": "requests", "window_s": 60, "ceiling": 600}],
            "budgets": [{"amount_usd": "10", "period": "month"}],
        }
    ],
}


def make_document(**sections: Any) -> dict[str, Any]:
    """A configuration document with one of everything; `sections` replace its own."""
    return deepcopy(_DOCUMENT) | sections


@dataclass
class World:
    """One of everything, connected: a client with a key may call an alias of a provider."""

    provider: Provider
    credential: Credential | None
    deployment: Deployment
    alias: Alias
    price: Price
    tier: PricingTier
    team: Team
    client: Client
    key: ApiKey
    token: str


def make_world(
    *, alias: str | None = None, secret: str | None = "sk-of-a-provider", **provider: Any
) -> World:
    """`alias` is the name to ask for, by default that of the model; `provider` are fields of the
    provider, such as `family` and `base_url`."""
    model = "demo" if provider.get("family") == "demo" else "gpt-4o-mini"
    made = make_provider(**provider)
    credential = make_credential(provider=made, secret=secret) if secret else None
    deployment = make_deployment(provider=made, credential=credential, model=model)
    served = make_alias(name=alias or model, targets=[deployment])
    book = make_price_book()
    price = make_price(book=book, model=model)
    tier = make_tier(price_book=book)
    team = make_team()
    client = make_client(team=team, tier=tier, aliases=[served])
    issued = make_key(client=client)
    return World(
        made, credential, deployment, served, price, tier, team, client, issued.key,
        issued.secret.reveal(),
    )  # fmt: skip
