"""Who calls what in made-up usage: teams, clients, keys, people, models and their prices."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import transaction

from apps.accounts.models import ApiKey, Client, Team, User
from apps.billing.models import Price, PriceBook, PricingTier
from apps.providers.models import Alias, Deployment, Provider, Target
from chatvault.lib.money import nano_from_usd

PREFIX: Final = "sample"
BEGINNING: Final = datetime(2020, 1, 1, tzinfo=UTC)  # from when on the prices hold
_TEAMS: Final = ("search", "support", "research", "sales", "platform", "legal", "mobile", "data")
_CLIENTS_A_TEAM: Final = 3
_KEYS_A_CLIENT: Final = 2
_PEOPLE: Final = 24
_MARKUPS: Final = (0, 10, -5)  # percent
_Told = tuple[str, str, str, str, str | None, float, int]
# model, provider, USD per 1 M tokens: in, out, cached in; share of the traffic; tokens per second
_MODELS: Final[tuple[_Told, ...]] = (
    ("gpt-4o-mini", "openai", "0.15", "0.60", "0.075", 0.30, 90),
    ("gpt-4o", "openai", "2.50", "10.00", "1.25", 0.14, 75),
    ("gpt-4.1-mini", "openai", "0.40", "1.60", "0.10", 0.10, 80),
    ("o4-mini", "openai", "1.10", "4.40", "0.275", 0.06, 100),
    ("claude-sonnet-4-5", "anthropic", "3.00", "15.00", "0.30", 0.14, 65),
    ("claude-haiku-4-5", "anthropic", "1.00", "5.00", "0.10", 0.08, 140),
    ("gemini-2.5-flash", "gemini", "0.30", "2.50", "0.075", 0.10, 190),
    ("gemini-2.5-pro", "gemini", "1.25", "10.00", "0.31", 0.04, 110),
    ("llama-3.3-70b", "vllm", "0.20", "0.20", None, 0.03, 55),
    ("mistral-small", "vllm", "0.10", "0.30", None, 0.01, 70),
)
_FAMILIES: Final = {"openai": "openai", "anthropic": "anthropic", "gemini": "gemini"}
_TWICE: Final = frozenset({"gpt-4o-mini", "gpt-4o", "claude-sonnet-4-5"})


@dataclass(frozen=True)
class Caller:
    """One key, or one person's token."""

    team_id: int
    team_name: str
    client_id: int
    client_name: str
    key_id: int
    key_name: str
    user_id: int | None
    user_name: str
    tier_id: int
    markup_percent: int


@dataclass(frozen=True)
class Model:
    """An alias with the deployments that serve it, and what it costs in nano-USD per 1 M."""

    alias: str
    deployments: tuple[tuple[int, str], ...]
    provider_id: int
    provider_name: str
    price_id: int
    input_nano: int
    output_nano: int
    cached_nano: int
    share: float
    tokens_a_second: int
    reasons: bool


@dataclass(frozen=True)
class World:
    callers: Sequence[Caller]
    models: Sequence[Model]

    @property
    def team_ids(self) -> list[int]:
        return sorted({caller.team_id for caller in self.callers})


@transaction.atomic
def make() -> World:
    """The rows behind the usage; those of an earlier time are taken again."""
    book, _ = PriceBook.objects.get_or_create(name=f"{PREFIX}-list")
    tiers = [
        PricingTier.objects.get_or_create(
            name=f"{PREFIX}-{percent:+d}-percent",
            defaults={"price_book": book, "markup_percent": percent},
        )[0]
        for percent in _MARKUPS
    ]
    models = [_model(book, told) for told in _MODELS]
    return World(_callers(tiers), models)


def _callers(tiers: Sequence[PricingTier]) -> list[Caller]:
    found = []
    people = [
        User.objects.get_or_create(
            username=f"{PREFIX}-person-{number:02d}", defaults={"is_active": False}
        )[0]
        for number in range(1, _PEOPLE + 1)
    ]
    for place, word in enumerate(_TEAMS):
        team, _ = Team.objects.get_or_create(name=f"{PREFIX}-{word}")
        for number in range(1, _CLIENTS_A_TEAM + 1):
            tier = tiers[(place + number) % len(tiers)]
            client, _ = Client.objects.get_or_create(
                name=f"{PREFIX}-{word}-{number}", defaults={"team": team, "tier": tier}
            )
            named = (team.pk, team.name, client.pk, client.name)
            paid = (tier.pk, int(tier.markup_percent))
            for name in [f"key-{each}" for each in range(1, _KEYS_A_CLIENT + 1)]:
                key, _ = ApiKey.objects.get_or_create(
                    client=client, name=name, defaults=_unusable()
                )
                found.append(Caller(*named, key.pk, key.name, None, "", *paid))
            if number == 1:
                for person in people[place * 3 : place * 3 + 3]:
                    found.append(Caller(*named, 0, "", person.pk, person.username, *paid))
    return found


def _unusable() -> dict[str, Any]:
    """A key that nobody has: what it is the digest of was never kept."""
    return {"digest": secrets.token_hex(32), "hint": "cv_…none", "is_active": False}


def _model(book: PriceBook, told: _Told) -> Model:
    name, provider_name, input_usd, output_usd, cached_usd, share, tokens_a_second = told
    provider, _ = Provider.objects.get_or_create(
        name=f"{PREFIX}-{provider_name}",
        defaults={"family": _FAMILIES.get(provider_name, "openai"), "is_active": False},
    )
    places = ("eu", "us") if name in _TWICE else ("eu",)
    deployments = [
        Deployment.objects.get_or_create(
            name=f"{PREFIX}-{name}-{place}",
            defaults={"provider": provider, "model": name, "is_active": False},
        )[0]
        for place in places
    ]
    alias, _ = Alias.objects.get_or_create(name=f"{PREFIX}-{name}", defaults={"is_active": False})
    for deployment in deployments:
        Target.objects.get_or_create(alias=alias, deployment=deployment)
    price = _price(book, name, input_usd, output_usd, cached_usd)
    return Model(
        alias=alias.name,
        deployments=tuple((each.pk, each.name) for each in deployments),
        provider_id=provider.pk,
        provider_name=provider.name,
        price_id=price.pk,
        input_nano=price.input_nano,
        output_nano=price.output_nano,
        cached_nano=price.input_nano
        if price.cached_input_nano is None
        else price.cached_input_nano,
        share=share,
        tokens_a_second=tokens_a_second,
        reasons=name.startswith("o4") or name.endswith("pro"),
    )


def _price(
    book: PriceBook, model: str, input_usd: str, output_usd: str, cached_usd: str | None
) -> Price:
    found = Price.objects.filter(book=book, model=model, valid_to=None).first()
    return found or Price.objects.create(
        book=book,
        model=model,
        valid_from=BEGINNING,
        input_nano=nano_from_usd(input_usd),
        output_nano=nano_from_usd(output_usd),
        cached_input_nano=None if cached_usd is None else nano_from_usd(cached_usd),
    )
