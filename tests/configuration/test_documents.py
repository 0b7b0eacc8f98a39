"""What documents become, and what they leave alone."""

from __future__ import annotations

import pytest
import yaml

from apps.accounts.credentials import digest
from apps.accounts.keys import find_key_record, pepper
from apps.accounts.models import ApiKey, Client, Team
from apps.billing.models import Budget, Quota
from apps.configuration import documents
from apps.configuration.models import Announcement, Revision
from apps.providers.models import Alias, Credential, Deployment, Provider
from tests.configuration.conftest import CANARY, EXAMPLE, apply
from tests.factories import make_client, make_document, make_world

pytestmark = pytest.mark.django_db


def test_the_example_becomes_rows(given_key):
    applied = apply(EXAMPLE)
    assert len(applied.created) == 13
    assert "clients[notebook].keys[ci]" in applied.created
    assert applied.changed == applied.removed == applied.issued_keys == []
    provider = Provider.objects.get()
    assert (provider.name, provider.family) == ("openai", "openai")
    assert provider.base_url == "https://api.openai.com/v1"
    credential = Credential.objects.get()
    assert (credential.secret, credential.origin) == (
        "env:OPENAI_API_KEY",
        "https://api.openai.com:443",
    )
    deployment = Deployment.objects.get()
    assert (deployment.provider, deployment.credential) == (provider, credential)
    assert Alias.objects.get().targets.get().deployment == deployment
    client = Client.objects.get()
    price = client.tier.price_book.prices.get()
    assert (price.input_nano, price.cached_input_nano, price.output_nano) == (
        150_000_000,
        75_000_000,
        600_000_000,
    )
    assert price.valid_to is None
    assert price.reasoning_nano is None
    assert client.team.name == "research"
    assert [alias.name for alias in client.aliases.all()] == ["gpt-4o-mini"]
    quota, budget = Quota.objects.get(), Budget.objects.get()
    assert (quota.client, quota.unit, quota.window_s, quota.ceiling) == (
        client,
        "requests",
        60,
        600,
    )
    assert (budget.client, budget.amount_nano, budget.period) == (client, 10 * 10**9, "month")
    assert find_key_record(digest(given_key.encode(), pepper())).name == "ci"


def test_applying_twice_changes_nothing(given_key, rows):
    apply(EXAMPLE)
    before = rows()
    again = apply(EXAMPLE)
    assert again.is_noop
    assert again.unchanged == 13
    assert rows() == before


def test_an_export_applied_changes_nothing(given_key, rows):
    apply(EXAMPLE)
    exported = documents.export()
    before = rows()
    for document in (exported, yaml.safe_dump(exported)):
        for prune in (False, True):
            assert apply(document, prune=prune).is_noop
    assert rows() == before
    assert documents.export() == exported


def test_an_export_rebuilds_the_same_elsewhere(given_key):
    apply(EXAMPLE)
    exported = documents.export()
    apply({"version": 1}, prune=True)
    assert documents.export() == {"version": 1}
    assert Client.objects.count() == Provider.objects.count() == 0
    apply(exported)
    assert documents.export() == exported


def test_a_key_without_a_secret_is_made_and_told_once():
    applied = apply(make_document())
    (made,) = applied.issued_keys
    assert (made.client, made.name) == ("notebook", "ci")
    token = applied.secret_of("notebook", "ci").reveal()
    assert find_key_record(digest(token.encode(), pepper())).key_id == ApiKey.objects.get().pk
    assert apply(make_document()).issued_keys == []
    with pytest.raises(KeyError):
        applied.secret_of("notebook", "other")


def test_no_secret_is_in_anything_that_is_shown_or_stored(given_key, rows, caplog):
    applied = apply(EXAMPLE)
    world = make_world(secret=CANARY, alias="own")
    applied_again = apply(
        make_document(clients=[{"name": "b", "team": "research", "keys": [{"name": "k"}]}])
    )
    made = applied_again.issued_keys[0].secret.reveal()
    shown = [
        repr(applied), str(applied), repr(applied_again), repr(documents.export()),
        repr(rows()), repr(list(Revision.objects.values())),
        repr(list(Announcement.objects.values())), caplog.text, repr(world.credential),
    ]  # fmt: skip
    for text in shown:
        assert CANARY not in text
        assert made not in text


def test_what_a_document_does_not_name_is_left_alone():
    apply(make_document())
    other = make_client(name="other", description="by hand")
    applied = apply({"version": 1, "clients": [{"name": "other", "team": other.team.name}]})
    assert applied.is_noop
    other.refresh_from_db()
    assert other.description == "by hand"
    assert Client.objects.count() == 2


def test_fields_that_are_left_out_stay():
    document = make_document(teams=[{"name": "research", "description": "Labs", "active": False}])
    apply(document)
    assert apply({"version": 1, "teams": [{"name": "research"}]}).is_noop
    team = Team.objects.get()
    assert (team.description, team.is_active) == ("Labs", False)
    applied = apply(make_document(), prune=True)
    assert applied.changed == ["teams[research]: description, active"]
    team.refresh_from_db()
    assert (team.description, team.is_active) == ("", True)


def test_prune_removes_what_is_not_named(given_key):
    apply(EXAMPLE)
    make_world(name="left", alias="left")
    document = yaml.safe_load(EXAMPLE)
    applied = apply(document, prune=True)
    assert [p.name for p in Provider.objects.all()] == ["openai"]
    assert [c.name for c in Client.objects.all()] == ["notebook"]
    assert any(label.startswith("clients[client-") for label in applied.removed)
    assert apply(document, prune=True).is_noop


def test_lists_that_belong_to_an_item_are_whole():
    apply(make_document())
    client = make_document()["clients"][0] | {
        "quotas": [{"unit": "tokens", "ceiling": 1000}],
        "budgets": [],
    }
    applied = apply({"version": 1, "clients": [client]})
    assert "clients[notebook].quotas[tokens/60]" in applied.created
    assert sorted(applied.removed) == [
        "clients[notebook].budgets[month]",
        "clients[notebook].quotas[requests/60]",
    ]
    assert [(q.unit, q.ceiling) for q in Quota.objects.all()] == [("tokens", 1000)]
    assert not Budget.objects.exists()


def test_a_changed_budget_keeps_its_row():
    apply(make_document())
    before = Budget.objects.get().pk
    client = make_document()["clients"][0] | {"budgets": [{"amount_usd": "12.5"}]}
    assert apply({"version": 1, "clients": [client]}).changed == [
        "clients[notebook].budgets[month]: amount_usd"
    ]
    budget = Budget.objects.get()
    assert (budget.pk, budget.amount_nano) == (before, 12_500_000_000)


def test_limits_on_teams_and_keys():
    document = make_document(
        teams=[
            {
                "name": "research",
                "quotas": [{"unit": "concurrency", "ceiling": 5}],
                "budgets": [{"amount_usd": "100", "period": "total"}],
            }
        ]
    )
    document["clients"][0]["keys"] = [
        {"name": "ci", "quotas": [{"unit": "tokens", "ceiling": 9}], "budgets": []}
    ]
    apply(document)
    assert Quota.objects.get(unit="concurrency").team.name == "research"
    assert Quota.objects.get(unit="concurrency").window_s == 1
    assert Quota.objects.get(unit="tokens").key.name == "ci"
    assert Budget.objects.get(period="total").team.name == "research"
    assert apply(document).is_noop
    assert apply(documents.export(), prune=True).is_noop


def test_targets_keep_the_order_of_the_document():
    document = make_document()
    document["deployments"].append(
        {"name": "second", "provider": "openai", "model": "gpt-4o", "max_output_tokens": 9}
    )
    targets = [
        {"deployment": "second", "weight": 3},
        {"deployment": "gpt-4o-mini@openai", "weight": 0},
    ]
    document["aliases"] = [{"name": "both", "strategy": "ordered", "targets": targets}]
    document["clients"] = []
    apply(document)
    assert documents.export()["aliases"] == document["aliases"]
    document["aliases"][0]["targets"] = targets[::-1]
    apply(document)
    assert documents.export()["aliases"] == document["aliases"]


def test_all_aliases():
    document = make_document()
    document["clients"][0]["aliases"] = "*"
    apply(document)
    assert Client.objects.get().may_use_all_aliases
    assert documents.export()["clients"][0]["aliases"] == "*"
    assert apply(document).is_noop
    apply(make_document())
    assert not Client.objects.get().may_use_all_aliases
