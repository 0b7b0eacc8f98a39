"""Traffic priced as if something had been otherwise, against sums made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from apps.audit.models import AuditEvent
from apps.billing.models import LedgerEntry
from apps.configuration.models import JobRun
from apps.forecasts import asking, what_if
from apps.forecasts.models import WhatIf
from apps.forecasts.tasks import answer_what_if
from apps.usage import rollups
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
from tests.factories.forecasts import make_what_if

pytestmark = pytest.mark.django_db

URL = "/api/v1/what-if"
AT = datetime(2026, 11, 10, 9, 30, tzinfo=UTC)
FROM, TO = AT - timedelta(days=9), AT + timedelta(days=1)
PER_M = 10**6


class Place:
    """Two models: `small` at 1 and 2 USD, cached at a tenth, half in batch; `big` at 10 and 20,
    above 1,000 tokens of prompt the double. The client pays 50 % more than list."""

    def __init__(self) -> None:
        book = make_price_book()
        usd = 10**9
        self.price = make_price(
            book=book, model="small-1", input_nano=usd, output_nano=2 * usd,
            cached_input_nano=usd // 10, service_tiers={"batch": {"factor_ppm": 500_000}},
        )  # fmt: skip
        make_price(
            book=book, model="big-1", input_nano=10 * usd, output_nano=20 * usd,
            bands=[{"above": 1_000, "rates": {"input": 20 * usd, "output": 40 * usd}}],
        )  # fmt: skip
        self.small = make_deployment(model="small-1")
        self.big = make_deployment(model="big-1")
        self.free = make_deployment(model="free-1")
        self.aliases = {
            name: make_alias(name=name, targets=[place])
            for name, place in (("small", self.small), ("big", self.big), ("free", self.free))
        }
        self.team = make_team(name="research")
        self.tier = make_tier(name="plus", price_book=book, markup_percent=50)
        self.list_tier = make_tier(name="list", price_book=book)
        self.client = make_client(
            team=self.team, name="bot", tier=self.tier, aliases=self.aliases.values()
        )

    def used(self, tokens_in, tokens_out, **more):
        """A request of the model `small`, charged as it was."""
        cost = tokens_in * 1_000 + tokens_out * 2_000
        values = {
            "client_id": self.client.pk, "team_id": self.team.pk, "alias": "small",
            "deployment_id": self.small.pk, "started_at": AT, "input_tokens": tokens_in,
            "output_tokens": tokens_out, "price_id": self.price.pk, "tier_id": self.tier.pk,
            "terms_id": self.tier.current_terms_id, "markup_ppm": 500_000,
            "cost_nano": cost, "charged_nano": cost * 3 // 2,
        }  # fmt: skip
        return make_request(**values | more)

    def ask(self, **what):
        asked = WhatIf(client=self.client, starts_at=FROM, ends_at=TO, **what)
        return asking.ask(asked=asked, author="ada")


@pytest.fixture
def place():
    return Place()


def test_on_another_model_each_request_has_its_own_band(place):
    place.used(1_000, 100)
    place.used(2_000, 100)
    row = place.ask(alias=place.aliases["big"])
    cost = (1_000 * 10_000 + 100 * 20_000) + (2_000 * 20_000 + 100 * 40_000)
    assert (row.state, row.is_exact, row.requests) == ("done", True, 2)
    assert row.cost_now_nano == 3_000 * 1_000 + 200 * 2_000
    assert (row.cost_then_nano, row.charged_then_nano) == (cost, cost * 3 // 2)
    assert row.words == "on big"


def test_with_more_read_from_the_cache(place):
    place.used(1_000, 0)
    place.used(1_000, 0, cached_input_tokens=800, cost_nano=0, charged_nano=0)
    place.used(1_000, 0, cache_write_tokens=700, cost_nano=0, charged_nano=0)
    row = place.ask(cached_percent=40)
    assert row.cost_then_nano == sum(
        cached * 100 + (1_000 - cached) * 1_000 for cached in (400, 800, 300)
    )


def test_in_a_tier_of_the_provider(place):
    place.used(1_000, 500)
    row = place.ask(service_tier="batch")
    assert row.charged_then_nano * 2 == row.charged_now_nano
    unknown = place.ask(service_tier="night")
    assert unknown.charged_then_nano == unknown.charged_now_nano
    assert "small-1" in unknown.notes[0] and "night" in unknown.notes[0]


def test_in_another_pricing_tier(place):
    place.used(1_000, 500)
    row = place.ask(tier=place.list_tier)
    assert row.charged_then_nano == row.cost_now_nano == row.cost_then_nano


def test_all_at_once(place):
    place.used(1_000, 500)
    row = place.ask(tier=place.list_tier, service_tier="batch", cached_percent=50)
    assert row.charged_then_nano == (500 * 100 + 500 * 1_000 + 500 * 2_000) // 2


def test_nothing_otherwise_in_a_request_is_what_was_charged(place):
    """0 % cached changes nothing: the same versions give the same charge."""
    for number in range(1, 20):
        place.used(number * 37, number * 11)
    row = place.ask(cached_percent=0)
    assert row.cost_then_nano == row.cost_now_nano
    assert row.charged_then_nano == row.charged_now_nano


def test_what_has_no_price_is_left_out_of_both_sides_and_never_0(place):
    place.used(1_000, 500)
    row = place.ask(alias=place.aliases["free"])
    assert (row.left_out, row.charged_then_nano, row.cost_then_nano) == (1, None, None)
    assert row.charged_now_nano == 0
    assert row.lines[0]["charged_left_out"] == 3_000_000
    assert "no price" in row.notes[0]


def test_embeddings_stay_and_failures_cost_nothing(place):
    place.used(1_000, 0, operation="embeddings")
    place.used(5, 5, usage_source="none", cost_nano=0, charged_nano=0, outcome="error")
    row = place.ask(alias=place.aliases["big"])
    assert row.charged_then_nano == row.charged_now_nano
    assert row.requests == 2
    assert any("Embeddings" in note for note in row.notes)


def test_only_this_client_this_time_and_this_model(place):
    place.used(1_000, 500)
    place.used(1_000, 500, client_id=place.client.pk + 1)
    place.used(1_000, 500, started_at=TO)
    place.used(1_000, 500, alias="other")
    assert place.ask(cached_percent=10, only_alias="small").requests == 1


def test_hourly_sums_stand_in_for_too_many_rows(place, monkeypatch):
    for number in range(7):
        place.used(900 + number, 10 + number)
    rollups.recompute(AT, AT + timedelta(hours=1))
    exact = place.ask(alias=place.aliases["big"])
    monkeypatch.setattr(what_if, "MOST_ROWS", 5)
    row = place.ask(alias=place.aliases["big"])
    assert (row.is_exact, row.requests) == (False, 7)
    assert row.cost_now_nano == exact.cost_now_nano
    assert row.cost_then_nano == pytest.approx(exact.cost_then_nano, rel=0.001)
    assert "hourly sums" in row.notes[0]


def test_many_rows_are_left_to_a_worker(place, monkeypatch):
    monkeypatch.setattr(asking, "AT_ONCE", 2)
    for _ in range(3):
        place.used(10, 10)
    row = place.ask(service_tier="batch")
    assert row.state == "waiting"
    assert JobRun.objects.get().arguments == {"what_if_id": row.pk}
    answer_what_if.apply(kwargs={"what_if_id": row.pk})
    row.refresh_from_db()
    assert (row.state, row.requests) == ("done", 3)
    assert row.charged_then_nano * 2 == row.charged_now_nano


def test_nothing_is_booked(place):
    place.used(10, 10)
    before = LedgerEntry.objects.count()
    place.ask(tier=place.list_tier)
    assert LedgerEntry.objects.count() == before
    assert AuditEvent.objects.filter(action="whatif.added").count() == 1


class TestApi:
    @pytest.fixture
    def caller(self, place):
        caller = APIClient()
        key = make_key(client=place.client, scopes=["billing:read"])
        caller.credentials(HTTP_AUTHORIZATION=f"Bearer {key.secret.reveal()}")
        return caller

    def post(self, caller, **body):
        given = {"from": "2026-11-01", "to": "2026-11-11"} | body
        return caller.post(URL, given, format="json")

    def test_it_answers_and_tells_again(self, caller, place):
        place.used(1_000, 500)
        answer = self.post(caller, model="big", cached_percent=0)
        assert answer.status_code == 201, answer.content
        told = answer.json()
        assert Decimal(told["cost_then_usd"]) == usd_from_nano(1_000 * 10_000 + 500 * 20_000)
        assert told["lines"][0]["model"] == "small"
        difference = Decimal(told["charged_then_usd"]) - Decimal(told["charged_usd"])
        assert Decimal(told["difference_usd"]) == difference
        assert caller.get(f"{URL}/{told['id']}").json() == told

    @pytest.mark.parametrize(
        ("body", "status", "param"),
        [
            ({}, 400, "model"),
            ({"model": "none"}, 404, "model"),
            ({"tier": "none"}, 400, "tier"),
            ({"cached_percent": 101}, 400, "cached_percent"),
            ({"cached_percent": -1}, 400, "cached_percent"),
            ({"service_tier": "Batch!"}, 400, "service_tier"),
            ({"cached_percent": 5, "from": "2026-11-12"}, 400, "to"),
            ({"cached_percent": 5, "from": "2025-01-01"}, 400, "to"),
            ({"cached_percent": 5, "from": "2026-11-01T00:00"}, 400, "from"),
            ({"cached_percent": 5, "from": "yesterday"}, 400, "from"),
            ({"cached_percent": 5, "client": 999_999}, 404, None),
            ({"cached_percent": 5, "unknown": 1}, 400, "unknown"),
        ],
        ids=[
            "nothing", "model", "tier", "percent", "negative", "service-tier", "backwards",
            "401-days", "no-zone", "word", "client", "unknown",
        ],
    )  # fmt: skip
    def test_nonsense_is_refused_and_not_kept(self, caller, body, status, param):
        answer = self.post(caller, **body)
        assert answer.status_code == status, answer.content
        assert answer.json()["error"]["param"] == param
        assert not WhatIf.objects.exists()

    def test_foreign_clients_and_answers_are_404(self, caller):
        other = make_what_if()
        assert self.post(caller, cached_percent=5, client=other.client.pk).status_code == 404
        assert caller.get(f"{URL}/{other.pk}").status_code == 404

    def test_a_tier_of_strangers_is_not_there(self, caller, place):
        assert self.post(caller, tier="list").json()["error"]["param"] == "tier"
        assert self.post(caller, tier="plus").status_code == 201


class TestAdmin:
    def test_a_question_is_asked_and_answered(self, place, client):
        place.used(1_000, 500)
        client.force_login(make_person("billing_admin", place.team, is_staff=True))
        url = reverse("admin:forecasts_whatif_add")
        page = client.get(url).content.decode()
        assert "read from the" in page and "2026" in page
        form = {
            "client": place.client.pk,
            "starts_at_0": "2026-11-01", "starts_at_1": "00:00:00",
            "ends_at_0": "2026-11-11", "ends_at_1": "00:00:00",
            "alias": place.aliases["big"].pk, "service_tier": "", "only_alias": "",
        }  # fmt: skip
        answer = client.post(url, form)
        assert answer.status_code == 302, answer.content.decode()[:3000]
        row = WhatIf.objects.get()
        shown = client.get(answer["location"]).content.decode()
        assert "on big" in shown and 'data-type="bar"' in shown
        table = client.get(reverse("admin:forecasts_whatif_csv", args=[row.pk]))
        lines = table.content.decode().splitlines()
        assert lines[1].startswith("small,1,0,0.002000000,")
        assert client.get(reverse("admin:forecasts_whatif_changelist")).status_code == 200
        assert AuditEvent.objects.filter(action="whatif.added").count() == 1

    def test_a_form_that_asks_for_nothing_says_so(self, place, client):
        client.force_login(make_person("billing_admin", place.team, is_staff=True))
        form = {
            "client": place.client.pk,
            "starts_at_0": "2026-11-01", "starts_at_1": "00:00:00",
            "ends_at_0": "2026-11-11", "ends_at_1": "00:00:00",
        }  # fmt: skip
        page = client.post(reverse("admin:forecasts_whatif_add"), form)
        assert "Say what would be otherwise" in page.content.decode()
        assert not WhatIf.objects.exists()

    def test_a_model_name_is_no_formula(self, client):
        line = {
            "model": "=1+1", "requests": 1, "left_out": 0, "cost_now": 1, "cost_then": 1,
            "charged_now": 1, "charged_then": None, "charged_left_out": 0,
        }  # fmt: skip
        row = make_what_if(lines=[line])
        client.force_login(make_person("owner"))
        table = client.get(reverse("admin:forecasts_whatif_csv", args=[row.pk]))
        assert table.content.decode().splitlines()[1].startswith("'=1+1,")

    def test_a_fixed_number_of_queries(self, client, django_assert_max_num_queries):
        client.force_login(make_person("owner"))
        url = reverse("admin:forecasts_whatif_changelist")
        make_what_if()
        client.get(url)
        for _ in range(6):
            make_what_if()
        with django_assert_max_num_queries(16):
            client.get(url)
