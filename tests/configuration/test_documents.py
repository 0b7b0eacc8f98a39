from __future__ import annotations

from copy import deepcopy
from io import StringIO
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from apps.accounts.credentials import digest
from apps.accounts.keys import find_key_record, pepper
from apps.accounts.models import ApiKey, Client, Team
from apps.billing.models import Budget, PricingTier, Quota
from apps.configuration import announce, documents
from apps.configuration.models import Announcement, Revision
from apps.configuration.problems import DocumentRefused
from apps.providers.models import Alias, Credential, Deployment, Provider
from tests.configuration.conftest import CANARY, apply
from tests.factories import make_client, make_document, make_key, make_team, make_user, make_world

pytestmark = pytest.mark.django_db

EXAMPLE = """
# the configuration document
version: 1
providers:
  - name: openai
    family: openai                  # adapter family
    base_url: https://api.openai.com/v1
    credentials: [{name: main, secret: "env:OPENAI_API_KEY"}]
deployments:
  - {name: gpt-4o-mini@openai, provider: openai, credential: main, model: gpt-4o-mini}
aliases:
  - {name: gpt-4o-mini, strategy: weighted, targets: [{deployment: gpt-4o-mini@openai, weight: 1}]}
price_books:
  - name: list
    prices: [{model: gpt-4o-mini, input: "0.15", cached_input: "0.075", output: "0.60"}]
pricing_tiers: [{name: standard, price_book: list, markup_percent: "0"}]
teams: [{name: research}]
clients:
  - name: notebook
    team: research
    tier: standard
    aliases: [gpt-4o-mini]
    keys: [{name: ci, secret: "env:TEAM_KEY"}]
    quotas: [{unit: requests, window_s: 60, ceiling: 600}]
    budgets: [{amount_usd: "10", period: month}]
"""


def problems_of(document: Any, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(DocumentRefused) as caught:
        apply(document, **options)
    assert all(p.hint and p.reason for p in caught.value.problems)
    return [(problem.path, problem.reason) for problem in caught.value.problems]


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


# What a document does not name.


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


# What is wrong is refused as a whole.


def test_every_problem_is_reported_at_once_and_nothing_is_written(rows):
    document = make_document(colour="red")
    document["providers"][0] |= {"famly": 1, "base_url": "ftp://x", "connect_timeout_s": -1}
    document["deployments"][0]["provider"] = "opnai"
    document["aliases"][0]["strategy"] = "random"
    document["price_books"][0]["prices"][0]["input"] = 0.15
    document["pricing_tiers"][0]["markup_percent"] = "-101"
    document["clients"][0]["keys"].append({"name": "b", "secret": CANARY})
    document["clients"][0]["quotas"][0]["ceiling"] = 0
    del document["clients"][0]["team"]
    before = rows()
    found = problems_of(document)
    assert [path for path, _ in found] == [
        "colour",
        "providers[0].connect_timeout_s",
        "providers[0].famly",
        "aliases[0].strategy",
        "price_books[0].prices[0].input",
        "pricing_tiers[0].markup_percent",
        "clients[0].team",
        "clients[0].keys[1].secret",
        "clients[0].quotas[0].ceiling",
        "deployments[0].provider",
        "providers[0].base_url",
    ]
    assert CANARY not in str(found)
    assert rows() == before


def test_hints_guess_what_was_meant():
    document = make_document()
    document["providers"][0]["famly"] = 1
    document["deployments"][0]["provider"] = "opnai"
    with pytest.raises(DocumentRefused) as caught:
        apply(document)
    hints = {problem.path: problem.hint for problem in caught.value.problems}
    assert hints["providers[0].famly"] == "Did you mean family?"
    assert hints["deployments[0].provider"] == "Did you mean openai?"
    assert str(caught.value).splitlines()[0] == (
        "providers[0].famly: There is no such field. Did you mean family?"
    )


@pytest.mark.parametrize(
    ("section", "value", "path"),
    [
        ("version", 2, "version"),
        ("version", True, "version"),
        ("version", None, "version"),
        ("teams", {}, "teams"),
        ("teams", "research", "teams"),
        ("teams", ["research"], "teams[0]"),
        ("teams", [{"name": "research"}, {"name": "research"}], "teams[1].name"),
        ("teams", [{"name": "research"}, {"name": ""}], "teams[1].name"),
        ("teams", [{"name": "research"}, {"name": 7}], "teams[1].name"),
        ("teams", [{"name": "research"}, {"name": "a\nb"}], "teams[1].name"),
        ("teams", [{"name": "research"}, {"name": "x" * 101}], "teams[1].name"),
        ("teams", [{"name": "research"}, {}], "teams[1].name"),
        ("teams", [{"name": "research", "active": "yes"}], "teams[0].active"),
        ("teams", [{"name": "research", 7: 1}], "teams[0].a whole number"),
        ("clients", [{"name": "a", "team": "nobody"}], "clients[0].team"),
        ("clients", [{"name": "a", "team": None}], "clients[0].team"),
        ("clients", [{"name": "a", "team": "research", "tier": "x"}], "clients[0].tier"),
        ("clients", [{"name": "a", "team": "research", "aliases": "x"}], "clients[0].aliases"),
        ("clients", [{"name": "a", "team": "research", "aliases": ["x"]}], "clients[0].aliases"),
        (
            "clients",
            [{"name": "a", "team": "research", "budgets": [{"amount_usd": "-1"}]}],
            "clients[0].budgets[0].amount_usd",
        ),
        (
            "clients",
            [{"name": "a", "team": "research", "budgets": [{"amount_usd": "1e30"}]}],
            "clients[0].budgets[0].amount_usd",
        ),
        (
            "clients",
            [{"name": "a", "team": "research", "keys": [{"name": "k", "expires_at": "soon"}]}],
            "clients[0].keys[0].expires_at",
        ),
        (
            "clients",
            [{"name": "a", "team": "research", "keys": [{"name": "k", "aliases": ["x"]}]}],
            "clients[0].keys[0].aliases",
        ),
        ("providers", [{"name": "a", "family": "nope"}], "providers[0].family"),
        (
            "providers",
            [{"name": "a", "family": "openai", "base_url": "https://u@h/"}],
            "providers[0].base_url",
        ),
        (
            "providers",
            [{"name": "a", "family": "openai", "options": {"vendr": "x"}}],
            "providers[0].options",
        ),
        (
            "providers",
            [{"name": "a", "family": "demo", "credentials": [{"name": "c"}]}],
            "providers[0].credentials[0].secret",
        ),
        (
            "providers",
            [{"name": "a", "family": "demo", "credentials": [{"name": "c", "secret": "sealed"}]}],
            "providers[0].credentials[0].secret",
        ),
        (
            "providers",
            [
                {
                    "name": "a",
                    "family": "demo",
                    "credentials": [{"name": "c", "secret": "env:CHATVAULT_KEY_PEPPER"}],
                }
            ],
            "providers[0].credentials[0].secret",
        ),
        ("pricing_tiers", [{"name": "standard", "price_book": "x"}], "pricing_tiers[0].price_book"),
    ],
)  # fmt: skip
def test_one_wrong_value(rows, section, value, path):
    document = make_document(**{section: value})
    if section == "providers":
        for other in ("deployments", "aliases", "price_books", "pricing_tiers", "clients"):
            del document[other]
    before = rows()
    assert [found for found, _ in problems_of(document)] == [path]
    assert rows() == before


def test_a_credential_of_another_provider_is_refused(rows):
    document = make_document()
    document["providers"].append({"name": "local", "family": "demo"})
    document["deployments"][0]["provider"] = "local"
    before = rows()
    assert [path for path, _ in problems_of(document)] == ["deployments[0].credential"]
    assert rows() == before


def test_a_deployment_that_moves_away_from_its_credential_is_refused():
    apply(make_document())
    document = {
        "version": 1,
        "providers": [{"name": "local", "family": "demo"}],
        "deployments": [{"name": "gpt-4o-mini@openai", "provider": "local", "model": "demo"}],
    }
    assert [path for path, _ in problems_of(document)] == ["deployments[0].credential"]
    document["deployments"][0]["credential"] = None
    apply(document)
    assert Deployment.objects.get().credential is None


@pytest.mark.parametrize("document", [None, [], "", "just text", 7])
def test_what_is_no_document(rows, document):
    before = rows()
    assert problems_of(document)[0][0] == "document"
    assert rows() == before


# Keys.


def test_a_missing_given_key_refuses_the_document(rows):
    before = rows()
    assert problems_of(EXAMPLE) == [("clients[0].keys[0].secret", "TEAM_KEY is not set.")]
    assert rows() == before


@pytest.mark.parametrize("value", ["short", "with a blank in the middle", "cv_" + "A" * 49])
def test_a_given_key_that_is_unfit_is_refused(rows, monkeypatch, value):
    monkeypatch.setenv("TEAM_KEY", value)
    before = rows()
    found = problems_of(EXAMPLE)
    assert found == [("clients[0].keys[0].secret", "The given key is not fit to be one.")]
    assert rows() == before


def test_a_given_key_of_somebody_else_is_refused(rows, given_key):
    document = yaml.safe_load(EXAMPLE)
    document["clients"].append(deepcopy(document["clients"][0]) | {"name": "copycat"})
    before = rows()
    assert problems_of(document) == [("clients[1].keys[0].secret", "This key is in use already.")]
    assert rows() == before


def test_a_given_key_that_changed_replaces_the_old_one(monkeypatch, given_key):
    apply(EXAMPLE)
    seen = announce.newest_id()
    monkeypatch.setenv("TEAM_KEY", "sk-the-next-one-0123")
    assert apply(EXAMPLE).changed == ["clients[notebook].keys[ci]: secret"]
    old, new = (digest(t.encode(), pepper()) for t in (given_key, "sk-the-next-one-0123"))
    assert find_key_record(old) is None
    assert find_key_record(new).name == "ci"
    subjects = {subject for topic, subject in announce.since(seen)[1] if topic == "accounts.key"}
    assert subjects == {old, new}


def test_a_revoked_key_is_not_resurrected(rows):
    from apps.accounts import services

    apply(make_document())
    services.revoke_keys(keys=ApiKey.objects.all(), actor=None)
    assert "keys" not in documents.export()["clients"][0]
    before = rows()
    assert problems_of(make_document())[0][0] == "clients[0].keys[0].name"
    assert rows() == before


def test_a_changed_key_is_announced():
    apply(make_document())
    key = ApiKey.objects.get()
    seen = announce.newest_id()
    document = make_document()
    document["clients"][0]["keys"] = [
        {"name": "ci", "active": False, "expires_at": "2030-01-01T00:00:00Z"}
    ]
    assert apply(document).changed == ["clients[notebook].keys[ci]: active, expires_at"]
    assert ("accounts.key", key.digest) in announce.since(seen)[1]
    record = find_key_record(key.digest)
    assert record.is_active is False
    assert record.expires_at_s == 1893456000.0
    assert apply(documents.export(), prune=True).is_noop


# Secrets of providers.


def test_a_sealed_secret_is_exported_as_a_mark_that_leaves_it_alone(rows):
    make_world(secret=CANARY)
    exported = documents.export()
    mark = exported["providers"][0]["credentials"][0]["secret"]
    assert mark.startswith("sealed:")
    before = rows()
    assert apply(exported).is_noop
    exported["providers"][0]["credentials"][0]["secret"] = "sealed"
    assert apply(exported).is_noop
    after = rows()
    assert after["providers.Credential"] == before["providers.Credential"]


def test_the_mark_tells_that_a_secret_was_replaced():
    from apps.providers import services

    world = make_world(secret=CANARY)
    before = documents.export()
    services.set_credential_secret(credential=world.credential, secret=CANARY)
    assert documents.export() != before


def test_a_provider_does_not_move_and_leave_its_secret_behind(rows):
    world = make_world(secret=CANARY)
    exported = documents.export()
    exported["providers"][0]["base_url"] = "https://evil.example/v1"
    del exported["clients"]
    before = rows()
    (problem,) = problems_of(exported)
    assert problem[0] == "providers[0].base_url"
    assert world.credential.name in problem[1]
    del exported["providers"][0]["credentials"]
    assert problems_of(exported)[0][0] == "providers[0].base_url"
    assert rows() == before


def test_a_provider_moves_with_a_secret_given_anew():
    world = make_world(secret=CANARY)
    exported = documents.export()
    exported["providers"][0]["base_url"] = "https://other.example/v1"
    exported["providers"][0]["credentials"][0]["secret"] = "env:OTHER_KEY"
    apply(exported)
    world.credential.refresh_from_db()
    assert (world.credential.secret, world.credential.origin) == (
        "env:OTHER_KEY",
        "https://other.example:443",
    )


def test_a_provider_that_may_leave_its_secret_behind_loses_it():
    world = make_world(secret=CANARY)
    exported = documents.export()
    exported["providers"][0]["base_url"] = "https://other.example/v1"
    applied = apply(exported, may_wipe=True)
    world.credential.refresh_from_db()
    assert world.credential.secret == ""
    assert applied.notes == [
        f"The secret of {world.provider.name} / {world.credential.name} was removed: "
        "enter it again."
    ]


def test_another_path_at_the_same_origin_keeps_the_secret():
    world = make_world(secret=CANARY)
    before = world.credential.secret
    exported = documents.export()
    exported["providers"][0]["base_url"] = "https://provider.example/v2"
    apply(exported)
    world.credential.refresh_from_db()
    assert world.credential.secret == before


# Revisions, checks and the command line.


def test_a_change_is_a_revision_with_its_author():
    actor = make_user(username="ada")
    applied = documents.apply(make_document(), source="api", actor=actor, comment="set up")
    revision = Revision.objects.get()
    assert applied.revision == revision.pk
    assert (revision.author, revision.source, revision.comment) == (actor, "api", "set up")
    assert revision.document == documents.export()
    assert ("configuration.revision", str(revision.pk)) in announce.since(0)[1]
    assert apply(make_document()).revision == revision.pk
    assert Revision.objects.count() == 1


def test_check_says_what_is_wrong_and_changes_nothing(rows):
    before = rows()
    assert documents.check(make_document()) == []
    assert rows() == before
    document = make_document(teams=[{"nam": "x"}])
    paths = [problem.path for problem in documents.check(document)]
    assert paths == ["teams[0].name", "teams[0].nam"]
    assert rows() == before


def test_plan_says_what_would_be_done(rows):
    before = rows()
    planned, problems = documents.plan(make_document())
    assert problems == []
    assert "clients[notebook].keys[ci]" in planned.created
    assert rows() == before


def test_the_command_applies_a_file(tmp_path, given_key):
    path = tmp_path / "document.yaml"
    path.write_text(EXAMPLE + "    description: Élodie\n")
    out = StringIO()
    call_command("config", "apply", str(path), stdout=out)
    assert "+ clients[notebook].keys[ci]" in out.getvalue()
    assert "13 created, 0 changed, 0 removed, 0 unchanged; revision" in out.getvalue()
    assert given_key not in out.getvalue()
    exported = StringIO()
    call_command("config", "export", stdout=exported)
    assert yaml.safe_load(exported.getvalue()) == documents.export()
    assert "Élodie" in exported.getvalue()


def test_the_command_tells_made_keys_once(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO(yaml.safe_dump(make_document())))
    out = StringIO()
    call_command("config", "apply", "-", stdout=out)
    line = next(line for line in out.getvalue().splitlines() if line.startswith("key "))
    token = line.removeprefix("key notebook / ci: ")
    assert find_key_record(digest(token.encode(), pepper())).name == "ci"
    monkeypatch.setattr("sys.stdin", StringIO(yaml.safe_dump(make_document())))
    again = StringIO()
    call_command("config", "apply", "-", stdout=again)
    assert "key " not in again.getvalue()


@pytest.mark.parametrize("verb", ["apply", "check"])
def test_the_command_refuses_with_every_problem(tmp_path, rows, verb):
    path = tmp_path / "document.yaml"
    path.write_text(yaml.safe_dump(make_document(colour=1, teams=[{"nam": "x"}])))
    before = rows()
    err = StringIO()
    with pytest.raises(CommandError, match="has 3 problems; nothing was changed"):
        call_command("config", verb, str(path), stderr=err)
    assert "teams[0].nam: There is no such field. Did you mean name?" in err.getvalue()
    assert rows() == before


def test_the_command_says_why_a_file_cannot_be_read(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        call_command("config", "apply", str(tmp_path / "absent.yaml"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match="not UTF-8"):
        call_command("config", "check", str(tmp_path / "binary"))


def test_rows_made_by_hand_are_exported_and_come_back():
    team = make_team(description="by hand")
    issued = make_key(client=make_client(team=team))
    PricingTier.objects.all().delete()
    exported = documents.export()
    assert exported["teams"] == [{"name": team.name, "description": "by hand"}]
    assert exported["clients"][0]["keys"] == [{"name": issued.key.name}]
