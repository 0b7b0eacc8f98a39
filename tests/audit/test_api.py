"""The trail by the API, and what the API itself leaves in it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.api import use
from apps.accounts.models import ApiKey
from apps.accounts.roles import Capability
from apps.audit import api_guard, checkpoints, trail
from apps.audit.acting import Actor
from apps.audit.models import AuditEvent
from chatvault import urls as site
from chatvault.lib import clock
from tests.factories import make_key, make_user

pytestmark = pytest.mark.django_db

EVENTS = "/api/v1/audit-events"


class ThingsView(APIView):
    """A part of the API for these tests: reads, writes, and one that forgets to record."""

    capabilities = {
        "GET": Capability.KEYS_READ, "POST": Capability.KEYS_WRITE, "PUT": Capability.KEYS_WRITE,
        "DELETE": Capability.TEAMS_WRITE,
    }  # fmt: skip

    def get(self, request: Request) -> Response:
        return Response({})

    def post(self, request: Request) -> Response:
        trail.record("thing.made", after={"name": "x"})
        return Response({}, status=201)

    def put(self, request: Request) -> Response:
        return Response({})

    def delete(self, request: Request) -> Response:
        return Response(status=204)


urlpatterns = [path("api/v1/things", ThingsView.as_view()), *site.urlpatterns]


@pytest.fixture
def things(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(use, "_told", use._Told())


@pytest.fixture
def owner() -> Browser:
    browser = Browser()
    browser.force_login(make_user(username="ada", is_superuser=True))
    return browser


def machine(*scopes: str) -> tuple[Browser, ApiKey]:
    issued = make_key(name="ci")
    ApiKey.objects.filter(pk=issued.key.pk).update(scopes=list(scopes))
    return Browser(headers={"authorization": f"Bearer {issued.secret.reveal()}"}), issued.key


needs_scopes = pytest.mark.skipif(
    not any(field.name == "scopes" for field in ApiKey._meta.fields), reason="keys have no scopes"
)


@needs_scopes
@pytest.mark.usefixtures("things")
def test_reading_by_a_key_is_told_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    caller, key = machine("admin")
    for _ in range(5):
        assert caller.get("/api/v1/things").status_code == 200
    events = AuditEvent.objects.filter(topic="api")
    (event,) = events.all()
    assert (event.action, event.actor_kind) == ("api.read", "key")
    assert event.actor == f"ci (key {key.pk}, client {key.client_id})"
    assert event.team_id == key.client.team_id
    assert event.address == "127.0.0.1"
    assert event.after == {
        "method": "GET", "route": "api/v1/things", "capability": "keys:read",
    }  # fmt: skip
    assert caller.get("/api/v1/things", REMOTE_ADDR="192.0.2.4").status_code == 200
    assert events.count() == 2
    later = clock.wall_s() + 3_600
    monkeypatch.setattr(use.clock, "wall_s", lambda: later)
    caller.get("/api/v1/things")
    assert events.count() == 3


@needs_scopes
@pytest.mark.usefixtures("things")
def test_a_change_by_a_key_has_the_key_as_its_actor() -> None:
    caller, key = machine("admin")
    assert caller.post("/api/v1/things").status_code == 201
    event = AuditEvent.objects.get(topic="thing")
    assert (event.actor_kind, event.action) == ("key", "thing.made")
    assert f"key {key.pk}" in event.actor
    assert not AuditEvent.objects.filter(topic="api").exists()


@pytest.mark.usefixtures("things")
def test_what_a_key_may_not_do_is_told_as_well() -> None:
    issued = make_key(name="ci")
    caller = Browser(headers={"authorization": f"Bearer {issued.secret.reveal()}"})
    for _ in range(3):
        assert caller.get("/api/v1/things").status_code == 403
    (event,) = AuditEvent.objects.filter(topic="api")
    assert (event.action, event.after["capability"]) == ("api.refused", "keys:read")


@pytest.mark.usefixtures("things")
def test_a_write_that_no_service_recorded_falls_into_the_net(
    owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(pytest.fail.Exception, match="PUT /api/v1/things changed something"):
        owner.put("/api/v1/things")

    def in_production(request: Any) -> None:
        trail.record("api.changed", after={"route": request.resolver_match.route})

    monkeypatch.setattr(api_guard, "record_unnamed", in_production)
    assert owner.put("/api/v1/things").status_code == 200
    event = AuditEvent.objects.get(action="api.changed")
    assert (event.actor, event.after) == ("ada", {"route": "api/v1/things"})


@pytest.mark.usefixtures("things")
def test_a_view_that_changes_nothing_leaves_nothing(
    owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ThingsView, "changes_nothing", True, raising=False)
    assert owner.delete("/api/v1/things").status_code == 204
    assert not AuditEvent.objects.exists()


def events_of(caller: Browser, query: str = "") -> list[int]:
    answer = caller.get(f"{EVENTS}{query}")
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def test_events_are_listed_and_narrowed(owner: Browser) -> None:
    trail.record("key.revoked", actor=Actor("person", "grace", 5), team_id=7)
    trail.record("role.given", actor=Actor("person", "bob"))
    trail.record("key.rotated")
    assert events_of(owner) == [3, 2, 1]
    assert events_of(owner, "?about=key") == [3, 1]
    assert events_of(owner, "?kind=person&about=key") == [1]
    assert events_of(owner, "?team_id=7") == [1]
    assert events_of(owner, "?user_id=5") == [1]
    assert events_of(owner, "?search=bo") == [2]
    assert events_of(owner, "?after_id=2") == [3]
    soon = (clock.now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert events_of(owner, f"?since={soon}") == []
    assert events_of(owner, f"?until={soon}&page_size=1") == [3]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?nosuch=1", "nosuch"), ("?kind=alien", "kind"), ("?team_id=x", "team_id"),
        ("?team_id=99999999999999999999", "team_id"), ("?since=yesterday", "since"),
        ("?target_id=3", "target_id"), ("?user_id__gt=1", "user_id__gt"),
        ("?actor__startswith=a", "actor__startswith"),
    ],
)  # fmt: skip
def test_a_wrong_filter_is_refused_by_name(owner: Browser, query: str, field: str) -> None:
    answer = owner.get(f"{EVENTS}{query}")
    assert answer.status_code == 400
    assert field in answer.json()["error"]["fields"]


def test_one_event_is_read_whole(owner: Browser) -> None:
    event = trail.record("key.revoked", before={"active": True}, after={"active": False})
    told = owner.get(f"{EVENTS}/{event.pk}").json()
    assert (told["before"], told["after"]) == ({"active": True}, {"active": False})
    assert told["hash"] == event.hash
    assert owner.get(f"{EVENTS}/99").status_code == 404


def test_the_export_takes_the_same_filters(owner: Browser) -> None:
    trail.record("key.revoked")
    trail.record("role.given")
    answer = owner.get(f"{EVENTS}/export?about=key")
    (line,) = b"".join(answer.streaming_content).splitlines()
    assert json.loads(line)["action"] == "key.revoked"
    assert AuditEvent.objects.get(topic="audit").actor == "ada"
    table = owner.get(f"{EVENTS}/export?form=csv&about=role")
    assert table["Content-Type"].startswith("text/csv")
    assert len(b"".join(table.streaming_content).splitlines()) == 2
    assert owner.get(f"{EVENTS}/export?form=exe").status_code == 400


def test_verifications_are_listed(owner: Browser) -> None:
    trail.record("a.b")
    checkpoints.check_all()
    (row,) = owner.get(f"{EVENTS}/checkpoints").json()["results"]
    assert (row["scope"], row["last_id"], row["findings"]) == ("whole", 1, 0)
    assert "seal" not in row


@pytest.mark.parametrize("more", ["", "/1", "/export", "/checkpoints"])
def test_who_may_not_read_the_trail_reads_nothing(more: str) -> None:
    url = f"{EVENTS}{more}"
    trail.record("a.b")
    assert Browser().get(url).status_code == 401
    nobody = Browser()
    nobody.force_login(make_user())
    assert nobody.get(url).status_code == 403
    key = make_key()
    machine = Browser(headers={"authorization": f"Bearer {key.secret.reveal()}"})
    assert machine.get(url).status_code == 403


def test_the_trail_cannot_be_written_by_the_api(owner: Browser) -> None:
    trail.record("a.b")
    for method in ("post", "put", "patch", "delete"):
        for url in (EVENTS, f"{EVENTS}/1", f"{EVENTS}/export", f"{EVENTS}/checkpoints"):
            assert getattr(owner, method)(url).status_code in (403, 405)
    assert AuditEvent.objects.count() == 1
