"""What is wrong is told at once, and nothing of it is applied."""

from __future__ import annotations

import pytest

from apps.configuration.problems import DocumentRefused
from apps.providers.models import Deployment
from tests.configuration.conftest import CANARY, apply, problems_of
from tests.factories import make_document

pytestmark = pytest.mark.django_db


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
        ("teams", [{"name": "research", "description": "\ud800"}], "teams[0].description"),
        ("teams", [{"name": "research", "description": "a\x00b"}], "teams[0].description"),
        ("teams", [{"name": "research", "description": "x" * 256}], "teams[0].description"),
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
            [{"name": "a", "family": "openai", "options": {"vendor": "\ud800"}}],
            "providers[0].options",
        ),
        (
            "providers",
            [{"name": "a", "family": "openai", "options": {"vendor": float("nan")}}],
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
