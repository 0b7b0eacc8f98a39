from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import Membership
from apps.audit.models import AuditEvent
from tests.factories import make_person, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def team():
    return make_team(name="research")


def asking_as(role, team=None):
    client = APIClient()
    client.force_login(make_person(role, team, username=f"the-{role}"))
    return client


def members_of(team):
    return f"/api/v1/teams/{team.pk}/members"


def test_a_lead_gives_changes_and_takes_roles(team):
    lead = asking_as("admin", team)
    eve = make_user(username="eve", email="eve@example.com")
    answer = lead.put(f"{members_of(team)}/eve@example.com", {"role": "viewer"}, format="json")
    assert answer.json() == {"person": "eve", "name": "", "role": "viewer", "is_active": True}
    assert lead.put(f"{members_of(team)}/eve", {"role": "member"}, format="json").status_code == 200
    listed = {row["person"]: row["role"] for row in lead.get(members_of(team)).json()["results"]}
    assert listed == {"the-admin": "admin", "eve": "member"}
    assert lead.delete(f"{members_of(team)}/eve").status_code == 204
    assert lead.delete(f"{members_of(team)}/eve").status_code == 404
    assert not Membership.objects.filter(user=eve).exists()
    told = AuditEvent.objects.filter(action__startswith="role.").order_by("id")
    assert [(event.action, event.actor) for event in told] == [
        ("role.given", "the-admin"),
        ("role.changed", "the-admin"),
        ("role.taken", "the-admin"),
    ]


@pytest.mark.parametrize("role", ["owner", "billing_admin"])
def test_nobody_gives_or_takes_more_than_they_have(team, role):
    lead = asking_as("admin", team)
    make_user(username="eve")
    boss = make_person(role, team, username="boss")
    answer = lead.put(f"{members_of(team)}/eve", {"role": role}, format="json")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"
    answer = lead.put(f"{members_of(team)}/boss", {"role": "viewer"}, format="json")
    assert answer.status_code == 403
    assert lead.delete(f"{members_of(team)}/boss").status_code == 403
    assert Membership.objects.get(user=boss).role == role
    assert not Membership.objects.filter(user__username="eve").exists()


@pytest.mark.parametrize(
    "body", [{}, {"role": "root"}, {"role": "viewer", "is_superuser": True}, {"role": None}]
)
def test_what_is_not_right_is_refused(team, body):
    lead = asking_as("admin", team)
    make_user(username="eve")
    assert lead.put(f"{members_of(team)}/eve", body, format="json").status_code == 400
    assert not Membership.objects.filter(user__username="eve").exists()


def test_nobody_is_found_by_a_part_of_a_name(team):
    lead = asking_as("admin", team)
    make_user(username="eve")
    for text in ("ev", "%25", "eve%25"):
        answer = lead.put(f"{members_of(team)}/{text}", {"role": "viewer"}, format="json")
        assert answer.status_code == 400


def test_another_teams_members_are_not_there(team):
    lead = asking_as("admin", team)
    other = make_team()
    make_person("member", other, username="theirs")
    absent = make_team()
    absent_url = members_of(absent)
    absent.delete()
    for url in (members_of(other), absent_url):
        assert lead.get(url).status_code == 404
        assert lead.put(f"{url}/theirs", {"role": "viewer"}, format="json").status_code == 404
        assert lead.delete(f"{url}/theirs").status_code == 404
    assert Membership.objects.filter(team=other).count() == 1


@pytest.mark.parametrize("role", ["viewer", "member", "auditor"])
def test_who_may_only_look_changes_nothing(team, role):
    looker = asking_as(role, team)
    assert looker.get(members_of(team)).status_code == 200
    make_user(username="eve")
    answer = looker.put(f"{members_of(team)}/eve", {"role": "viewer"}, format="json")
    assert answer.status_code == 403
    assert looker.delete(f"{members_of(team)}/the-{role}").status_code == 403


def test_a_lead_of_one_team_who_sees_another_changes_nothing_there(team):
    other = make_team()
    lead = make_person("admin", team)
    Membership.objects.create(user=lead, team=other, role="viewer")
    make_person("member", other, username="theirs")
    client = APIClient()
    client.force_login(lead)
    assert client.get(members_of(other)).status_code == 200
    assert client.delete(f"{members_of(other)}/theirs").status_code == 403
    assert client.patch(f"/api/v1/teams/{other.pk}", {"description": "x"}).status_code == 403


def test_a_lead_does_not_rename_or_close_the_team(team):
    lead = asking_as("admin", team)
    url = f"/api/v1/teams/{team.pk}"
    for body in ({"name": "x"}, {"is_active": False}):
        assert lead.patch(url, body, format="json").status_code == 403
    assert lead.patch(url, {"description": "ours"}, format="json").status_code == 200
    team.refresh_from_db()
    assert (team.name, team.is_active, team.description) == ("research", True, "ours")
