from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.tokens import TokenIssuer
from apps.billing import models as billing
from apps.billing.limits import BudgetLimit, QuotaLimit, ScopeLimits
from apps.billing.pricing import Price, Terms
from apps.configuration import documents, revisions
from apps.gateway.snapshot.build import build_snapshot
from apps.gateway.snapshot.model import Alias, Client, Deployment, Snapshot, Target
from chatvault.lib import clock
from tests.factories import (
    make_alias,
    make_budget,
    make_client,
    make_credential,
    make_deployment,
    make_document,
    make_key,
    make_price,
    make_price_book,
    make_provider,
    make_quota,
    make_team,
    make_tier,
    make_world,
)

pytestmark = pytest.mark.django_db

CANARY = "sk-canary-b10c55aa02"


def test_nothing_is_a_snapshot_too():
    snapshot = build_snapshot()
    own = TokenIssuer(
        0, "chatvault", ("chatvault",), max_lifetime_s=14 * 86_400 + 1
    )  # nothing is signed yet
    assert snapshot == Snapshot(version=0, built_at_s=snapshot.built_at_s, issuers=(own,))


def test_everything_of_a_world():
    world = make_world(secret=CANARY, base_url="https://provider.example/v1/")
    revision = revisions.record(source="admin", actor=None)
    snapshot = build_snapshot()
    assert snapshot.version == revision.pk
    assert abs(snapshot.built_at_s - clock.wall_s()) < 60
    assert snapshot.deployments == {
        world.deployment.pk: Deployment(
            id=world.deployment.pk,
            name=world.deployment.name,
            provider=world.provider.name,
            family="openai",
            base_url="https://provider.example/v1",
            model="gpt-4o-mini",
            stored_secret=world.credential.secret,
            credential_id=world.credential.pk,
            origin="https://provider.example:443",
            provider_id=world.provider.pk,
        )
    }
    assert snapshot.aliases == {
        "gpt-4o-mini": Alias(
            id=world.alias.pk,
            name="gpt-4o-mini",
            strategy="weighted",
            created_s=int(world.alias.created_at.timestamp()),
            targets=(Target(deployment_id=world.deployment.pk),),
        )
    }
    assert snapshot.prices == {
        world.price.book_id: {
            "gpt-4o-mini": (
                Price(
                    id=world.price.pk,
                    model="gpt-4o-mini",
                    input=150_000_000,
                    output=600_000_000,
                    valid_from_s=int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()),
                ),
            )
        }
    }
    assert snapshot.clients == {
        world.client.pk: Client(
            id=world.client.pk,
            name=world.client.name,
            team_id=world.team.pk,
            team=world.team.name,
            is_active=True,
            book_id=world.price.book_id,
            terms=Terms(tier_id=world.tier.pk, terms_id=world.tier.current_terms_id),
            aliases=frozenset({"gpt-4o-mini"}),
        )
    }
    assert snapshot.key_limits == {}


def test_no_secret_is_in_the_clear():
    make_world(secret=CANARY)
    snapshot = build_snapshot()
    assert CANARY.encode() not in msgspec.msgpack.encode(snapshot)
    assert CANARY not in repr(snapshot)


def test_a_snapshot_survives_being_stored():
    world = make_world()
    make_quota(key=world.key)
    make_budget(team=world.team)
    snapshot = build_snapshot()
    stored = msgspec.msgpack.encode(snapshot)
    assert msgspec.msgpack.decode(stored, type=Snapshot) == snapshot


def test_the_number_of_queries_does_not_grow():
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            build_snapshot()
        return len(queries)

    make_world(alias="first")
    few = count()
    for number in range(10):
        world = make_world(alias=f"more-{number}")
        make_quota(client=world.client)
        make_budget(key=world.key)
    assert count() == few <= 14


@pytest.mark.parametrize("inactive", ["deployment", "provider", "credential"])
def test_what_is_inactive_is_left_out_with_its_targets(inactive):
    world = make_world()
    row = getattr(world, inactive)
    row.is_active = False
    row.save()
    snapshot = build_snapshot()
    assert snapshot.deployments == {}
    assert snapshot.aliases["gpt-4o-mini"].targets == ()


def test_an_inactive_alias_is_left_out():
    world = make_world()
    world.alias.is_active = False
    world.alias.save()
    assert build_snapshot().aliases == {}


@pytest.mark.parametrize("inactive", ["client", "team"])
def test_an_inactive_client_or_team_makes_the_client_inactive(inactive):
    world = make_world()
    row = getattr(world, inactive)
    row.is_active = False
    row.save()
    assert build_snapshot().clients[world.client.pk].is_active is False


@pytest.mark.parametrize("secret", [CANARY, "env:SOME_KEY"])
def test_a_provider_that_moved_behind_our_back_gets_no_secret(secret):
    world = make_world(secret=secret)
    world.provider.base_url = "https://evil.example/v1"
    world.provider.save()
    deployment = build_snapshot().deployments[world.deployment.pk]
    assert deployment.stored_secret == ""
    assert deployment.credential_id == world.credential.pk
    assert deployment.origin == "https://evil.example:443"


def test_a_credential_of_another_provider_is_not_used():
    world = make_world()
    world.deployment.credential = make_credential()
    world.deployment.save()
    assert build_snapshot().deployments == {}


def test_a_provider_with_a_broken_address_is_left_out():
    world = make_world()
    world.provider.base_url = "https://user@provider.example/"
    world.provider.save()
    other = make_deployment(provider=make_provider(family="demo"), model="demo")
    assert list(build_snapshot().deployments) == [other.pk]
    assert build_snapshot().unusable == {world.deployment.pk}


def test_a_family_that_does_not_exist_is_left_out_and_a_strategy_is_made_up_for():
    world = make_world()
    type(world.provider).objects.update(family="no-such")
    type(world.alias).objects.update(strategy="no-such")
    made = build_snapshot()
    assert (made.deployments, made.unusable) == ({}, {world.deployment.pk})
    assert made.aliases[world.alias.name].strategy == "ordered"


def test_a_deployment_without_a_credential():
    provider = make_provider(connect_timeout_s=1.5, first_byte_timeout_s=9, options={"a": 1})
    row = make_deployment(provider=provider, max_output_tokens=100)
    deployment = build_snapshot().deployments[row.pk]
    assert (deployment.stored_secret, deployment.credential_id) == ("", 0)
    assert deployment.max_output_tokens == 100
    assert (deployment.connect_timeout_s, deployment.first_byte_timeout_s) == (1.5, 9.0)
    assert deployment.options == {"a": 1}


def test_targets_come_in_their_order():
    one, two, three = (make_deployment() for _ in range(3))
    make_alias(name="a", strategy="ordered", targets=[(two, 5), (three, 0), (one, 1)])
    alias = build_snapshot().aliases["a"]
    assert alias.strategy == "ordered"
    assert [(t.deployment_id, t.weight, t.position) for t in alias.targets] == [
        (two.pk, 5, 0),
        (three.pk, 0, 1),
        (one.pk, 1, 2),
    ]


def test_prices_of_the_past_are_left_out_and_the_newest_start_is_first():
    now, day = clock.now(), timedelta(days=1)
    book = make_price_book()
    make_price(book=book, valid_from=now - 9 * day, valid_to=now - day, input_nano=1)
    make_price(book=book, valid_from=now - day, valid_to=now + day, input_nano=2)
    make_price(
        book=book, valid_from=now + day, input_nano=3, cached_input_nano=4, cache_write_nano=5,
        cache_write_1h_nano=6, reasoning_nano=7, audio_input_nano=8, audio_output_nano=9,
        per_request_nano=10,
    )  # fmt: skip
    later, present = build_snapshot().prices[book.pk]["gpt-4o-mini"]
    assert (later.input, later.valid_to_s) == (3, None)
    assert (present.input, present.valid_to_s) == (2, later.valid_from_s)
    assert later.valid_from_s == int((now + day).timestamp())
    assert [
        later.cached_input, later.cache_write, later.cache_write_1h, later.reasoning,
        later.audio_input, later.audio_output, later.per_request,
    ] == [4, 5, 6, 7, 8, 9, 10]  # fmt: skip


@pytest.mark.parametrize(
    ("percent", "ppm"),
    [("0", 0), ("10", 100_000), ("-100", -1_000_000), ("0.0001", 1), ("12.3456", 123_456)],
)
def test_a_mark_up_is_exact(percent, ppm):
    tier = make_tier(markup_percent=Decimal(percent))
    client = make_client(tier=tier)
    assert build_snapshot().clients[client.pk].terms == Terms(tier.pk, ppm, tier.current_terms_id)


def test_terms_carry_their_version_the_minimum_and_the_fixed_prices():
    fixed = {"gpt-4o-mini": {"rates": {"input": 5, "output": 6, "per_search": 7}}}
    client = make_client(tier=make_tier(minimum_nano=1_000, overrides=fixed))
    terms = build_snapshot().clients[client.pk].terms
    assert (terms.terms_id, terms.minimum_nano) == (client.tier.current_terms_id, 1_000)
    price = terms.overrides["gpt-4o-mini"]
    assert (price.input, price.output, price.per_search, price.conditions) == (5, 6, 7, None)


def test_a_damaged_price_is_left_out_and_the_rest_is_served():
    book = make_price_book()
    whole = make_price(book=book)
    damaged = make_price(book=book, model="other")
    billing.Price.objects.filter(pk=damaged.pk).update(bands=[{"above": -1}])
    assert build_snapshot().prices[book.pk] == {"gpt-4o-mini": (whole.version(),)}


def test_damaged_terms_price_nothing():
    client = make_client(tier=make_tier())
    billing.PricingTier.objects.update(overrides={"m": {"rates": {}}})
    (built,) = build_snapshot().clients.values()
    assert (built.id, built.book_id, built.terms) == (client.pk, None, Terms())


def test_a_client_without_a_tier_is_not_priced():
    make_client()
    (client,) = build_snapshot().clients.values()
    assert (client.book_id, client.terms) == (None, Terms())


def test_a_client_that_may_use_all():
    client = make_client(may_use_all_aliases=True, aliases=[make_alias()])
    assert build_snapshot().clients[client.pk].aliases is None


def test_limits_of_client_team_and_key():
    team = make_team()
    client = make_client(team=team)
    key = make_key(client=client).key
    quota = make_quota(client=client, unit="tokens", window_s=3600, ceiling=7)
    make_quota(client=client, is_active=False)
    budget = make_budget(team=team, amount_nano=5, period="day")
    own = make_quota(key=key, unit="concurrency", window_s=1, ceiling=2)
    snapshot = build_snapshot()
    assert snapshot.clients[client.pk].scopes == (
        ScopeLimits("client", client.pk, (QuotaLimit(quota.pk, "tokens", 3600, 7),)),
        ScopeLimits("team", team.pk, (), (BudgetLimit(budget.pk, 5, "day"),)),
    )
    assert snapshot.key_limits == {
        key.pk: ScopeLimits("key", key.pk, (QuotaLimit(own.pk, "concurrency", 1, 2),))
    }


def test_a_document_is_followed():
    applied = documents.apply(make_document(), source="document", actor=None)
    snapshot = build_snapshot()
    assert snapshot.version == applied.revision
    (client,) = snapshot.clients.values()
    assert (client.name, client.team) == ("notebook", "research")
    (scope,) = client.scopes
    assert scope.quotas[0].ceiling == 600
    assert scope.budgets[0].amount_nano == 10 * 10**9
