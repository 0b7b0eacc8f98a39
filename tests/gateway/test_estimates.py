"""What a request would cost on each model, by the gateway's own sizes and prices."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.audit.models import AuditEvent
from apps.billing import pricing
from apps.gateway.prompt_size import prompt_size
from apps.usage.models import RequestLog
from chatvault.lib.money import usd_from_nano
from tests.factories import (
    make_alias,
    make_client,
    make_deployment,
    make_key,
    make_person,
    make_price,
    make_price_book,
    make_request,
    make_team,
    make_tier,
)

pytestmark = pytest.mark.django_db

URL = "/api/v1/cost/estimate"
CHAT: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Hello there"}]}
CAN = 2_048


@pytest.fixture
def book():
    return make_price_book()


@pytest.fixture
def team():
    return make_team(name="research")


@pytest.fixture
def client(book, team):
    """Doubles the list price; may use `gpt` and `free`, which has no price."""
    make_price(book=book, model="gpt-4o-mini")
    gpt = make_alias(name="gpt", targets=[make_deployment(max_output_tokens=CAN)])
    free = make_alias(name="free", targets=[make_deployment(model="unpriced")])
    make_alias(name="secret", targets=[make_deployment()])
    tier = make_tier(price_book=book, markup_percent=100)
    return make_client(team=team, tier=tier, aliases=[gpt, free])


@pytest.fixture
def caller(client):
    return by(make_key(client=client))


def by(issued):
    caller = APIClient()
    caller.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret.reveal()}")
    return caller


def ask(caller, body, query=""):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return caller.generic("POST", URL + query, data, content_type="application/json")


def only(answer):
    assert answer.status_code == 200, answer.content
    (found,) = answer.json()["results"]
    return found


def usd(nano):
    return usd_from_nano(nano)


def numbers(amounts):
    return {name: value if value is None else Decimal(value) for name, value in amounts.items()}


def test_the_most_is_what_admission_would_reserve(caller, client, book):
    body = json.dumps(CHAT | {"max_tokens": 100, "n": 2}).encode()
    about, most = prompt_size(body)
    price = book.prices.get().version()
    terms = pricing.Terms(markup_ppm=1_000_000)
    found = only(ask(caller, body))
    worst = pricing.worst_case(prompt_tokens=most, max_output_tokens=200, price=price, terms=terms)
    assert numbers(found["charge"])["max_usd"] == usd(worst)
    assert found["tokens"]["input"] == {"expected": about, "max": most}
    assert found["tokens"]["output"] == {"min": 2, "expected": None, "max": 200}
    assert numbers(found["charge"])["min_usd"] == usd(2 * (about * 150 + 2 * 600))
    assert found["charge"]["expected_usd"] is None  # there is no history
    assert found["deployments"][0]["price_version"] == price.id


def test_what_is_expected_is_the_median_of_the_clients_own_answers(caller, client):
    for tokens in (10, 30, 20, 900, 25):
        make_request(client_id=client.pk, alias="gpt", output_tokens=tokens)
    for _ in range(9):  # another client's, and what failed, say nothing
        make_request(client_id=client.pk + 1, alias="gpt", output_tokens=5_000)
        make_request(client_id=client.pk, alias="gpt", outcome="error", output_tokens=7)
    body = json.dumps(CHAT).encode()
    about, _ = prompt_size(body)
    found = only(ask(caller, body))
    assert found["tokens"]["history"] == {"requests": 5, "median_output_tokens": 25}
    assert numbers(found["charge"])["expected_usd"] == usd(2 * (about * 150 + 25 * 600))
    capped = only(ask(caller, CHAT | {"max_tokens": 12}))
    assert capped["tokens"]["output"]["expected"] == 12


def test_counts_are_billed_to_the_nano(caller, client):
    found = only(ask(caller, {"model": "gpt", "input_tokens": 1_000, "output_tokens": 500}))
    exactly = usd(2 * (1_000 * 150 + 500 * 600))
    assert set(numbers(found["charge"]).values()) == {exactly}


def test_counts_may_be_ranges(caller):
    body = {
        "model": "gpt",
        "input_tokens": {"min": 100, "expected": 200, "max": 300},
        "output_tokens": {"max": 50, "min": 0},
    }
    charge = numbers(only(ask(caller, body))["charge"])
    assert charge == {
        "min_usd": usd(2 * 100 * 150),
        "expected_usd": usd(2 * (200 * 150 + 25 * 600)),
        "max_usd": usd(2 * (300 * 150 + 50 * 600)),
    }


def test_all_models_of_the_client_and_no_others_and_unpriced_is_said(caller):
    answer = ask(caller, {"input_tokens": 10, "output_tokens": 5})
    found = {one["model"]: one for one in answer.json()["results"]}
    assert set(found) == {"gpt", "free"}
    assert found["free"]["is_priced"] is False
    assert found["free"]["charge"] is None and "no price" in found["free"]["note"]
    assert found["free"]["deployments"][0]["charge"] is None
    assert found["gpt"]["is_priced"] is True


def test_a_key_with_models_of_its_own_has_no_more(client):
    key = make_key(client=client, aliases=[client.aliases.get(name="free")])
    answer = ask(by(key), {"input_tokens": 10, "output_tokens": 5})
    assert [one["model"] for one in answer.json()["results"]] == ["free"]
    assert ask(by(key), CHAT).status_code == 403


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("nope", 404, "model_not_found"), ("secret", 403, "model_not_allowed")],
)
def test_models_are_refused_as_a_real_call_refuses_them(caller, name, status, code):
    answer = ask(caller, CHAT | {"model": name})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (code, "model")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model": "gpt", "mess', None),
        (b"[]", None),
        (b"\xff", None),
        ({"input_tokens": -1}, "input_tokens"),
        ({"input_tokens": 2**40 + 1}, "input_tokens"),
        ({"input_tokens": "many"}, "input_tokens"),
        ({"input_tokens": 1.5}, "input_tokens"),
        ({"input_tokens": True}, "input_tokens"),
        ({"input_tokens": {"min": 5, "max": 1}}, "input_tokens"),
        ({"input_tokens": {"most": 5}}, "input_tokens"),
        ({"input_tokens": {}}, "input_tokens"),
        ({"output_tokens": 5}, "input_tokens"),
        ({"input_tokens": 5, "outputs": 5}, "outputs"),
        ({"input_tokens": 5, "cached_input_tokens": 6, "output_tokens": 1}, "input_tokens"),
        (CHAT | {"n": 0}, "n"),
        (CHAT | {"messages": "Hi"}, "messages"),
    ],
    ids=[
        "cut-off", "list", "not-utf8", "negative", "absurd", "word", "fraction", "bool",
        "backwards", "unknown-bound", "empty", "no-input", "unknown", "parts", "n", "messages",
    ],
)  # fmt: skip
def test_nonsense_is_a_400_that_says_where(caller, body, param):
    answer = ask(caller, body)
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["param"] == param


def test_the_largest_counts_are_capped_and_never_negative(caller):
    body = {"model": "gpt", "input_tokens": 2**40, "output_tokens": 2**40}
    charge = numbers(only(ask(caller, body))["charge"])
    assert Decimal(0) < charge["max_usd"] <= usd(2**63 - 1)


def test_costs_and_formulas_are_for_those_who_see_billing(client, team):
    key = by(make_key(client=client))
    told = only(ask(key, CHAT))["deployments"][0]
    assert (told["cost"], told["formula"]) == (None, [])
    billing = by(make_key(client=client, scopes=["billing:read"]))
    body = {"model": "gpt", "input_tokens": 1_000, "output_tokens": 500}
    told = only(ask(billing, body))["deployments"][0]
    cost = numbers(told["cost"])["expected_usd"]
    assert cost * 2 == numbers(told["charge"])["expected_usd"]
    sides = {side: Decimal(0) for side in ("cost", "charge")}
    for line in told["formula"]:
        sides[line["side"]] += Decimal(line["amount_usd"])
    assert sides["cost"] == cost
    assert sides["charge"] == numbers(told["charge"])["expected_usd"]


def test_people_name_a_client_of_their_teams(client, team):
    person = APIClient()
    person.force_login(make_person("member", team))
    assert ask(person, CHAT).status_code == 400
    assert only(ask(person, CHAT, f"?client={client.pk}"))["model"] == "gpt"
    stranger = APIClient()
    stranger.force_login(make_person("member", make_team()))
    assert ask(stranger, CHAT, f"?client={client.pk}").status_code == 404
    assert ask(stranger, CHAT, "?client=999999").status_code == 404


def test_a_key_has_the_prices_of_its_own_client_only(caller, team):
    other = make_client(team=team)
    assert ask(caller, CHAT, f"?client={other.pk}").status_code == 404


def test_a_key_without_either_scope_is_refused(client):
    assert ask(by(make_key(client=client, scopes=["usage:read"])), CHAT).status_code == 403


def test_nothing_is_kept(caller, caplog):
    text = "a very secret prompt"
    body = CHAT | {"messages": [{"role": "user", "content": text}]}
    before = AuditEvent.objects.count()
    with caplog.at_level("DEBUG"):
        answer = ask(caller, body)
    assert answer.status_code == 200
    assert text not in caplog.text and text not in answer.content.decode()
    assert AuditEvent.objects.count() == before
    assert not RequestLog.objects.exists()


@pytest.mark.parametrize(
    "body",
    [{"model": "gpt", "prompt": "Hi", "max_tokens": 5}, {"model": "gpt", "input": ["a", "b"]}],
    ids=["completions", "embeddings"],
)
def test_other_requests_are_known_by_their_fields(caller, body):
    output = only(ask(caller, body))["tokens"]["output"]
    expected = {"min": 1, "expected": None, "max": 5}
    assert output == (expected if "prompt" in body else {"min": 0, "expected": 0, "max": 0})


def test_a_fixed_number_of_queries(caller, client, django_assert_max_num_queries):
    ask(caller, {"input_tokens": 10})
    for number in range(5):
        made = make_alias(name=f"m{number}", targets=[make_deployment() for _ in range(3)])
        client.aliases.add(made)
    with django_assert_max_num_queries(24):
        assert len(ask(caller, {"input_tokens": 10}).json()["results"]) == 7
