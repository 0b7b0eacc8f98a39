"""Applications by the REST API: whose rows, what may be written, where the secret is."""

from __future__ import annotations

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.hashers import check_password
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.accounts import roles
from apps.accounts.roles import Capability
from apps.audit.models import AuditEvent
from apps.configuration.models import Announcement
from apps.oauth.api.applications import ApplicationViewSet
from apps.oauth.models import Application
from tests.factories import make_client, make_person, make_team
from tests.factories.accounts import make_key
from tests.factories.oauth import make_application

pytestmark = pytest.mark.django_db

PATH = "/api/v1/oauth/applications"


def as_person(role, team=None):
    client = APIClient()
    client.person = make_person(role, team)
    client.force_login(client.person)
    return client


@pytest.fixture
def team():
    return make_team(name="research")


@pytest.fixture
def payer(team):
    return make_client(team=team, name="payer")


@pytest.fixture
def foreign():
    return make_application(payer=make_client(team=make_team(name="secret-lab"), name="their"))


@pytest.fixture
def lead(team):
    return as_person("admin", team)


def body(**more):
    told = {
        "name": "Notes",
        "client": "payer",
        "flow": "authorization-code",
        "client_type": "confidential",
        "redirect_uris": ["https://notes.example/cb", "http://127.0.0.1/cb"],
        "scopes": ["usage:read", "inference", "openid"],
    } | more
    return {name: value for name, value in told.items() if value is not None}


def test_the_secret_is_in_the_answer_that_makes_it_and_nowhere_else(payer, lead):
    made = lead.post(PATH, body(), format="json")
    assert made.status_code == 201, made.content
    told = made.json()
    secret = told.pop("client_secret")
    assert made["Cache-Control"] == "no-store, private"
    row = Application.objects.get()
    assert (row.pk, row.client_id, row.user) == (told["id"], told["client_id"], lead.person)
    assert check_password(secret, row.client_secret)
    assert row.redirect_uris.split() == told["redirect_uris"] == body()["redirect_uris"]
    assert told["scopes"] == ["openid", "inference", "usage:read"]
    assert (told["team"], told["client"], told["is_active"]) == ("research", "payer", True)
    event = AuditEvent.objects.get(action="oauth.application_made")
    assert (event.target_id, event.team_id) == (str(row.pk), payer.team_id)
    url = f"{PATH}/{row.pk}"
    new = lead.post(f"{url}/new-secret", {}, format="json")
    assert new.status_code == 200 and new["Cache-Control"] == "no-store, private"
    newer = new.json()["client_secret"]
    row.refresh_from_db()
    assert check_password(newer, row.client_secret) and not check_password(
        secret, row.client_secret
    )
    assert AuditEvent.objects.filter(action="oauth.secret_rotated").count() == 1
    others = [lead.get(PATH), lead.get(url), lead.patch(url, {"description": "x"}, format="json")]
    for answer in others:
        assert answer.status_code == 200
        assert "client_secret" not in answer.content.decode()
    everything = "".join(
        [str(each.__dict__) for each in AuditEvent.objects.all()]
        + [each.content.decode() for each in others]
    )
    assert secret not in everything and newer not in everything
    assert row.client_secret not in everything


def test_a_public_application_has_no_secret(payer, lead):
    made = lead.post(PATH, body(client_type="public"), format="json")
    assert (made.status_code, made.json()["client_secret"]) == (201, None)
    refused = lead.post(f"{PATH}/{made.json()['id']}/new-secret", {}, format="json")
    assert refused.status_code == 409


def test_what_is_foreign_is_not_there(payer, lead, foreign):
    url = f"{PATH}/{foreign.application.pk}"
    kept = foreign.application.client_secret
    for answer in (
        lead.get(url),
        lead.patch(url, {"is_active": False}, format="json"),
        lead.delete(url),
        lead.post(f"{url}/new-secret", {}, format="json"),
    ):
        assert answer.status_code == 404
        assert foreign.application.name not in answer.content.decode()
    assert lead.get(PATH).json()["results"] == []
    row = Application.objects.get()
    assert (row.is_active, row.client_secret) == (True, kept)
    theirs = lead.post(PATH, body(client="their"), format="json")
    absent = lead.post(PATH, body(client="absent"), format="json")
    assert theirs.status_code == absent.status_code == 400
    assert theirs.json()["error"]["param"] == "client"
    assert theirs.content.replace(b"their", b"") == absent.content.replace(b"absent", b"")
    assert Application.objects.count() == 1


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"client_secret": "mine"}, "client_secret"),
        ({"client_id": "mine"}, "client_id"),
        ({"user": 1}, "user"),
        ({"skip_authorization": True}, "skip_authorization"),
        ({"registration_digest": "a"}, "registration_digest"),
        ({"registered_itself": True}, "registered_itself"),
        ({"team": "research"}, "team"),
        ({"payer_id": 1}, "payer_id"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": None}, "scopes"),
        ({"scopes": "inference"}, "scopes"),
        ({"flow": "password"}, "flow"),
        ({"flow": "implicit"}, "flow"),
        ({"flow": "client-credentials", "client_type": "public"}, "client_type"),
        ({"redirect_uris": []}, "redirect_uris"),
        ({"redirect_uris": ["http://notes.example/cb"]}, "redirect_uris"),
        ({"redirect_uris": ["https://a.example/cb https://b.example"]}, "redirect_uris"),
        ({"redirect_uris": ["https://a.example/\ncb"]}, "redirect_uris"),
        ({"redirect_uris": ["https://a.example/#x"]}, "redirect_uris"),
        ({"redirect_uris": ["https://a.example"] * 21}, "redirect_uris"),
        ({"homepage": "javascript:alert(1)"}, "homepage"),
        ({"name": "  "}, "name"),
    ],
)
def test_what_is_not_right_is_named(payer, lead, more, field):
    answer = lead.post(PATH, body(**more), format="json")
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["param"].split(".")[0] == field
    assert not Application.objects.exists()


def test_nobody_gives_more_than_they_have(team, payer, lead, monkeypatch):
    """Whatever the table of roles becomes: here a viewer makes applications, and no more."""
    held = frozenset({Capability.OAUTH_READ, Capability.OAUTH_WRITE, Capability.INFERENCE})
    monkeypatch.setitem(roles._BY_NAME, "viewer", held)
    who = as_person("viewer", team)
    for asked in ("usage:read", "admin"):
        answer = who.post(PATH, body(scopes=["inference", asked]), format="json")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "scopes")
    made = who.post(PATH, body(scopes=["inference"]), format="json")
    assert made.status_code == 201, made.content
    url = f"{PATH}/{made.json()['id']}"
    wider = {"scopes": ["inference", "keys:write"]}
    assert who.patch(url, wider, format="json").status_code == 400
    assert Application.objects.get().scopes == ["inference"]
    # what somebody with more has given stays, whoever changes the rest
    assert lead.patch(url, wider, format="json").status_code == 200
    kept = who.patch(url, {"name": "New", "scopes": ["keys:write"]}, format="json")
    assert (kept.status_code, kept.json()["scopes"]) == (200, ["keys:write"])


def test_no_key_makes_applications(payer):
    key = make_key(client=payer, scopes=["admin"])
    answer = APIClient(headers={"authorization": f"Bearer {key.secret.reveal()}"}).post(
        PATH, body(), format="json"
    )
    assert answer.status_code == 403
    assert not Application.objects.exists()


def test_a_change_is_told_and_what_is_fixed_stays(team, payer, lead):
    row = make_application(payer=payer, name="Notes").application
    other = make_client(team=team, name="second")
    url = f"{PATH}/{row.pk}"
    for name, value in (("client", other.name), ("flow", "device-code"), ("client_type", "public")):
        answer = lead.patch(url, {name: value}, format="json")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)
    assert lead.put(url, body(), format="json").status_code == 405
    secret = row.client_secret
    assert lead.patch(url, {"is_active": False}, format="json").json()["is_active"] is False
    row = Application.objects.get()
    assert (row.is_active, row.client_secret, row.payer) == (False, secret, payer)
    event = AuditEvent.objects.get(action="oauth.application_changed")
    assert (event.before, event.after) == ({"is_active": True}, {"is_active": False})
    told = Announcement.objects.filter(topic="accounts.holder", subject=f"application:{row.pk}")
    assert told.count() == 1
    assert lead.delete(url).status_code == 204
    assert not Application.objects.exists() and told.count() == 2
    assert AuditEvent.objects.filter(action="oauth.application_ended").count() == 1


@pytest.mark.parametrize(
    ("role", "status"), [("auditor", 200), ("member", 403), ("operator", 403), ("viewer", 403)]
)
def test_who_may_only_look_changes_nothing(team, payer, role, status):
    url = f"{PATH}/{make_application(payer=payer).application.pk}"
    who = as_person(role, team)
    assert who.get(url).status_code == status
    for answer in (
        who.patch(url, {"name": "x"}, format="json"),
        who.post(f"{url}/new-secret", {}, format="json"),
        who.delete(url),
        who.post(PATH, body(), format="json"),
    ):
        assert answer.status_code == 403
    assert AuditEvent.objects.filter(action__startswith="oauth.").count() == 1


def test_lists_are_narrowed_and_ask_a_fixed_number_of_queries(payer, lead, foreign):
    make_application(payer=payer, name="alpha", description="50% off")
    make_application(
        payer=payer, name="beta", is_active=False, authorization_grant_type="client-credentials"
    )
    owner = as_person("owner")

    def names(**query):
        answer = owner.get(PATH, query)
        assert answer.status_code == 200, answer.content
        return sorted(row["name"] for row in answer.json()["results"])

    assert names(q="%") == ["alpha"]
    assert names(is_active="false") == names(flow="client-credentials") == ["beta"]
    assert names(team="research") == names(client="payer") == ["alpha", "beta"]
    assert names(client_id=foreign.application.client_id) == [foreign.application.name]
    for wrong in ("client_secret", "client_secret__startswith", "scope"):
        assert owner.get(PATH, {wrong: "a"}).status_code == 400

    def count():
        with CaptureQueriesContext(connection) as queries:
            owner.get(PATH)
        assert not any('."client_secret"' in each["sql"] for each in queries)
        return len(queries)

    one = count()
    for _ in range(4):
        make_application()
    assert count() == one


def test_it_has_the_throttle_of_every_endpoint():
    kinds = [f"{one.__module__}.{one.__name__}" for one in ApplicationViewSet.throttle_classes]
    assert kinds == django_settings.REST_FRAMEWORK["DEFAULT_THROTTLE_CLASSES"] != []


def test_without_a_credential_there_is_nothing():
    cache.clear()
    answer = APIClient().get(PATH)
    assert answer.status_code in (401, 403)
    assert set(answer.json()) == {"error"}
