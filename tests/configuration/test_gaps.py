"""What a configuration lacks to serve is told and does not keep it from being applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.configuration import documents
from apps.configuration.gaps import MAX_GAPS, find_gaps
from tests.configuration.conftest import CANARY, apply
from tests.factories import make_document

HOME = Path("/nowhere/chatvault")


@pytest.fixture(autouse=True)
def provider_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)


def told(document) -> list[tuple[str, str]]:
    gaps = find_gaps(document, home=HOME)
    assert all(gap.hint for gap in gaps)
    return [(gap.path, gap.reason) for gap in gaps]


def paths(document) -> list[str]:
    return [path for path, _ in told(document)]


def provider(**fields):
    return make_document()["providers"][0] | fields


def test_a_whole_configuration_has_none():
    assert told(make_document()) == []
    assert told({"version": 1}) == []


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("env:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE is not set."),
        (
            "file:/nowhere/key",
            "The file /nowhere/key cannot be read: No such file or directory.",
        ),
    ],
)
def test_a_secret_that_cannot_be_had_is_a_gap_with_whoever_needs_it(secret, reason):
    credentials = [{"name": "main", "secret": secret}]
    found = told(make_document(providers=[provider(credentials=credentials)]))
    assert found == [
        ("providers[openai].credentials[main].secret", reason),
        (
            "deployments[gpt-4o-mini@openai].credential",
            "The credential main of openai has a secret that cannot be had here: requests fail.",
        ),
    ]


@pytest.mark.parametrize("secret", ["env:OPENAI_API_KEY", "sealed:0123456789ab"])
def test_a_secret_that_can_be_had_is_none(secret):
    credentials = [{"name": "main", "secret": secret}]
    assert told(make_document(providers=[provider(credentials=credentials)])) == []


def test_what_is_not_active_needs_no_secret():
    absent = [{"name": "main", "secret": "env:NOT_SET_ANYWHERE"}]
    document = make_document(providers=[provider(credentials=absent, active=False)])
    assert paths(document) == ["aliases[gpt-4o-mini].targets"]


def test_a_deployment_of_an_inactive_credential_gets_nothing():
    credentials = [{"name": "main", "secret": "env:OPENAI_API_KEY", "active": False}]
    assert told(make_document(providers=[provider(credentials=credentials)])) == [
        (
            "deployments[gpt-4o-mini@openai].credential",
            "The credential main of openai is not active: requests are not sent there.",
        ),
        ("aliases[gpt-4o-mini].targets", "None of them is active: requests for it fail."),
    ]


@pytest.mark.parametrize(
    ("fields", "is_gap"),
    [
        ({}, True),
        ({"credentials": []}, True),
        ({"credentials": [], "family": "anthropic", "base_url": "https://p.example"}, True),
        ({"credentials": [], "base_url": "http://127.0.0.1:11434/v1"}, False),
        ({"base_url": "http://127.0.0.1:11434/v1"}, True),
        ({"credentials": [], "family": "demo", "base_url": ""}, False),
    ],
)
def test_a_deployment_without_a_credential_is_one_where_the_provider_wants_it(fields, is_gap):
    document = make_document(providers=[provider(**fields)])
    del document["deployments"][0]["credential"]
    expected = ["deployments[gpt-4o-mini@openai].credential"] if is_gap else []
    assert paths(document) == expected


def test_an_alias_without_an_active_target_is_one():
    document = make_document()
    document["deployments"][0]["active"] = False
    document["aliases"] += [{"name": "empty"}, {"name": "off", "active": False}]
    assert told(document) == [
        ("aliases[gpt-4o-mini].targets", "None of them is active: requests for it fail."),
        ("aliases[empty].targets", "It has none: requests for it fail."),
    ]


class TestPrices:
    UNPRICED = (
        "price_books[list].prices",
        "The model gpt-4o-mini has no price now: clients with a budget (notebook) "
        "get 402 model_unpriced.",
    )

    def test_a_model_without_a_price_is_one_for_clients_with_a_budget(self):
        document = make_document(price_books=[{"name": "list"}])
        assert told(document) == [self.UNPRICED]
        del document["clients"][0]["budgets"]
        assert told(document) == []

    def test_a_price_to_come_is_none_yet(self):
        document = make_document()
        document["price_books"][0]["prices"][0]["valid_from"] = "2999-01-01T00:00:00Z"
        assert told(document) == [self.UNPRICED]

    @pytest.mark.parametrize("scope", ["team", "key"])
    def test_budgets_of_teams_and_keys_count(self, scope):
        document = make_document(price_books=[{"name": "list"}])
        budgets = document["clients"][0].pop("budgets")
        if scope == "team":
            document["teams"][0]["budgets"] = budgets
        else:
            document["clients"][0]["keys"][0]["budgets"] = budgets
        assert told(document) == [self.UNPRICED]
        budgets[0]["active"] = False
        assert told(document) == []

    def test_only_what_the_client_may_ask_for_counts(self):
        document = make_document(price_books=[{"name": "list"}])
        document["clients"][0]["aliases"] = []
        assert told(document) == []
        document["clients"][0]["aliases"] = "*"
        assert told(document) == [self.UNPRICED]

    def test_a_model_beside_a_priced_one_is_left_out_of_the_running(self):
        document = make_document()
        other = document["deployments"][0] | {"name": "new@openai", "model": "new"}
        document["deployments"].append(other)
        document["aliases"][0]["targets"].append({"deployment": "new@openai"})
        assert told(document) == [
            (
                "price_books[list].prices",
                "The model new has no price now: clients with a budget (notebook) "
                "are never sent to it.",
            )
        ]

    def test_a_budget_without_a_tier_is_one(self):
        document = make_document()
        del document["clients"][0]["tier"]
        assert paths(document) == ["clients[notebook].tier"]

    def test_many_clients_are_told_in_one_line(self):
        document = make_document(price_books=[{"name": "list"}])
        document["clients"] = [document["clients"][0] | {"name": f"c{i}"} for i in range(5)]
        ((_, reason),) = told(document)
        assert "(c0, c1, c2 and 2 more)" in reason


def test_there_is_an_end_to_them():
    document = make_document()
    document["aliases"] += [{"name": f"a{i}"} for i in range(MAX_GAPS + 50)]
    found = told(document)
    assert len(found) == MAX_GAPS
    assert found[-1] == ("document", f"There are {MAX_GAPS + 50} such notes in all.")


@pytest.mark.django_db
class TestApplied:
    def test_gaps_are_notes_of_check_and_apply(self, monkeypatch, rows):
        monkeypatch.delenv("OPENAI_API_KEY")
        before = rows()
        planned, problems = documents.plan(make_document())
        assert problems == []
        assert rows() == before
        applied = apply(make_document())
        assert applied.notes == planned.notes
        assert applied.notes[0] == (
            "providers[openai].credentials[main].secret: OPENAI_API_KEY is not set. "
            "Set it where ChatVault runs and restart."
        )

    def test_gaps_of_what_the_document_leaves_alone_are_told_too(self, monkeypatch):
        assert apply(make_document()).notes == []
        monkeypatch.delenv("OPENAI_API_KEY")
        assert len(apply({"version": 1, "teams": [{"name": "new"}]}).notes) == 2

    def test_a_price_that_ended_is_a_gap(self):
        document = make_document()
        document["price_books"][0]["prices"][0]["valid_to"] = "2020-01-01T00:00:00Z"
        notes = apply(document).notes
        assert [note.partition(":")[0] for note in notes] == ["price_books[list].prices"]
