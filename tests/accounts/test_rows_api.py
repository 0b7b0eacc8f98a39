"""Teams and clients by the REST API: whose rows, what may be written, what is told."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.accounts.models import Client, Team
from apps.audit.models import AuditEvent
from apps.configuration import revisions
from apps.configuration.models import Announcement, Revision
from tests.factories import (
    make_alias,
    make_client,
    make_person,
    make_team,
    make_tier,
)

pytestmark = pytest.mark.django_db

TEAMS, CLIENTS = "/api/v1/teams", "/api/v1/clients"


@pytest.fixture
def team():
    return make_team(name="research")


@pytest.fixture
def foreign():
    return make_team(name="secret-lab")


def as_person(role, team=None):
    client = APIClient()
    client.person = make_person(role, team)
    client.force_login(client.person)
    return client


@pytest.fixture
def lead(team):
    return as_person("admin", team)


@pytest.fixture
def owner():
    return as_person("owner")


def names(answer):
    assert answer.status_code == 200, answer.content
    return sorted(row["name"] for row in answer.json()["results"])


def test_everybody_lists_their_own(team, foreign, lead, owner):
    mine, other = make_client(team=team, name="mine"), make_client(team=foreign, name="other")
    assert names(lead.get(TEAMS)) == ["research"]
    assert names(lead.get(CLIENTS)) == ["mine"]
    assert names(owner.get(CLIENTS)) == ["mine", "other"]
    assert lead.get(f"{CLIENTS}/{mine.pk}").json()["team"] == "research"
    for path in (f"{CLIENTS}/{other.pk}", f"{CLIENTS}/999999", f"{TEAMS}/{foreign.pk}"):
        for method in (lead.get, lead.patch, lead.delete):
            answer = method(path)
            assert answer.status_code == 404
            assert "secret" not in answer.content.decode()
    assert Client.objects.filter(pk=other.pk).exists()


def test_a_lead_makes_a_client_in_the_own_team_alone(team, foreign, lead):
    shared = make_alias(name="gpt")
    make_client(team=team, aliases=[shared])
    answer = lead.post(
        CLIENTS, {"name": "bot", "team": "research", "aliases": ["gpt"]}, format="json"
    )
    assert answer.status_code == 201, answer.content
    assert answer.json()["aliases"] == ["gpt"]
    refused = lead.post(CLIENTS, {"name": "spy", "team": "secret-lab"}, format="json")
    absent = lead.post(CLIENTS, {"name": "spy", "team": "no-such-team"}, format="json")
    assert refused.status_code == absent.status_code == 400
    assert refused.json()["error"]["param"] == "team"
    assert str(refused.json()).replace("secret-lab", "") == str(absent.json()).replace(
        "no-such-team", ""
    )
    assert not Client.objects.filter(name="spy").exists()


def test_a_change_is_a_revision_an_event_and_an_announcement(team, lead):
    client = make_client(team=team, name="bot")
    revisions.record(source="admin", actor=None)
    answer = lead.patch(f"{CLIENTS}/{client.pk}", {"is_active": False}, format="json")
    assert answer.status_code == 200
    revision = Revision.objects.order_by("-pk").first()
    assert (revision.source, revision.author) == ("api", lead.person)
    event = AuditEvent.objects.filter(action="configuration.changed").first()
    assert list(event.after) == ["clients[bot].active"]
    assert Announcement.objects.filter(
        topic="accounts.holder", subject=f"client:{client.pk}"
    ).exists()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (TEAMS, {"name": "x", "id": 7}, "id"),
        (TEAMS, {"name": "x", "created_at": "2020-01-01"}, "created_at"),
        (TEAMS, {"name": "x", "members": [1]}, "members"),
        (TEAMS, {"name": "two\nlines"}, "name"),
        (TEAMS, {"name": "x" * 200}, "name"),
        (TEAMS, {}, "name"),
        (TEAMS, {"name": "research"}, "name"),
        (CLIENTS, {"name": "x", "team": "research", "team_id": 9}, "team_id"),
        (CLIENTS, {"name": "x", "team": "research", "keys": []}, "keys"),
        (CLIENTS, {"name": "x", "team": "research", "aliases": "gpt"}, "aliases"),
        (CLIENTS, {"name": "x", "team": "research", "aliases": ["none"]}, "aliases.0"),
        (CLIENTS, {"name": "x", "team": "research", "tier": "none"}, "tier"),
        (CLIENTS, {"name": "x", "team": {"name": "research"}}, "team"),
    ],
)
def test_what_is_not_right_is_named(team, owner, path, body, field):
    answer = owner.post(path, body, format="json")
    assert answer.status_code == 400, answer.content
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "").startswith(field.split(".")[0])
    assert Team.objects.count() == 1
    assert not Client.objects.exists()


@pytest.mark.parametrize("body", [{"tier": "cheap"}, {"may_use_all_aliases": True}])
def test_a_lead_gives_no_price_and_no_models_that_are_not_theirs(team, lead, body):
    make_tier(name="cheap")
    client = make_client(team=team)
    answer = lead.patch(f"{CLIENTS}/{client.pk}", body, format="json")
    assert answer.status_code == 403
    client.refresh_from_db()
    assert client.tier is None
    assert client.may_use_all_aliases is False


def test_a_lead_moves_no_client_to_another_team(team, foreign, lead):
    client = make_client(team=team)
    answer = lead.patch(f"{CLIENTS}/{client.pk}", {"team": "secret-lab"}, format="json")
    assert answer.status_code == 400
    client.refresh_from_db()
    assert client.team == team


@pytest.mark.parametrize("role", ["viewer", "member", "auditor", "billing_admin"])
def test_who_may_only_look_changes_nothing(team, role):
    client = make_client(team=team, name="bot")
    person = as_person(role, team)
    assert names(person.get(CLIENTS)) == ["bot"]
    for answer in (
        person.patch(f"{CLIENTS}/{client.pk}", {"description": "x"}, format="json"),
        person.delete(f"{CLIENTS}/{client.pk}"),
        person.post(CLIENTS, {"name": "y", "team": "research"}, format="json"),
    ):
        assert answer.status_code == 403
    assert Client.objects.get().description == ""


def test_only_the_installation_makes_and_deletes_teams(team, lead, owner):
    assert lead.post(TEAMS, {"name": "mine-too"}, format="json").status_code == 403
    assert lead.delete(f"{TEAMS}/{team.pk}").status_code == 403
    assert owner.post(TEAMS, {"name": "new"}, format="json").status_code == 201
    assert owner.delete(f"{TEAMS}/{team.pk}").status_code == 204


def test_a_team_with_clients_is_kept(team, owner):
    make_client(team=team)
    answer = owner.delete(f"{TEAMS}/{team.pk}")
    assert answer.status_code == 409
    assert Team.objects.filter(pk=team.pk).exists()


def test_lists_are_narrowed_and_typing_errors_are_told(team, owner):
    make_client(team=team, name="alpha", description="50% off_season")
    make_client(team=team, name="beta", is_active=False)
    assert names(owner.get(CLIENTS, {"q": "ALPH"})) == ["alpha"]
    assert names(owner.get(CLIENTS, {"q": "%"})) == ["alpha"]
    assert names(owner.get(CLIENTS, {"q": "_"})) == ["alpha"]
    assert names(owner.get(CLIENTS, {"is_active": "false"})) == ["beta"]
    assert names(owner.get(CLIENTS, {"team": "research"})) == ["alpha", "beta"]
    answer = owner.get(CLIENTS, {"teem": "research"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "teem")
    assert owner.get(CLIENTS, {"keys__digest__startswith": "a"}).status_code == 400


def test_pages_follow_each_other_by_a_cursor(team, owner):
    for number in range(5):
        make_client(team=team, name=f"c{number}")
    seen, url = [], f"{CLIENTS}?page_size=2"
    while url:
        page = owner.get(url).json()
        seen += [row["name"] for row in page["results"]]
        url = page["next"]
    assert seen == ["c4", "c3", "c2", "c1", "c0"]


def test_a_list_asks_a_fixed_number_of_queries(team, owner):
    def count():
        with CaptureQueriesContext(connection) as queries:
            owner.get(CLIENTS)
        return len(queries)

    make_client(team=team, aliases=[make_alias()])
    one = count()
    for _ in range(5):
        make_client(team=make_team(), aliases=[make_alias(), make_alias()])
    assert count() == one


def test_without_a_credential_there_is_nothing():
    answer = APIClient().get(CLIENTS)
    assert answer.status_code in (401, 403)
    assert set(answer.json()) == {"error"}
