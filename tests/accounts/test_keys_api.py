"""Keys by the REST API: shown once, within what the caller has, and of the own teams alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.accounts import keys as key_rows
from apps.accounts.credentials import digest, is_well_formed
from apps.accounts.models import ApiKey
from apps.audit.models import AuditEvent
from apps.configuration.models import Announcement, Revision
from chatvault.lib import clock
from tests.factories import make_alias, make_client, make_key, make_person, make_team

pytestmark = pytest.mark.django_db

KEYS = "/api/v1/keys"


@pytest.fixture
def team():
    return make_team(name="research")


@pytest.fixture
def client(team):
    return make_client(team=team, name="bot", aliases=[make_alias(name="gpt")])


@pytest.fixture
def lead(team):
    caller = APIClient()
    caller.force_login(make_person("admin", team))
    return caller


def by_key(key):
    caller = APIClient()
    caller.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return caller


def issue(caller, **more):
    return caller.post(KEYS, {"client": "bot", "name": "ci", **more}, format="json")


def test_a_key_is_shown_once_and_works(lead, client):
    answer = issue(
        lead,
        aliases=["gpt"],
        networks=["203.0.113.7"],
        labels={"env": "prod"},
        scopes=["inference", "usage:read"],
    )
    assert answer.status_code == 201, answer.content
    assert answer.headers["cache-control"] == "private, no-store"
    shown = answer.json()["key"]
    assert is_well_formed(shown.encode())
    row = answer.json()["row"]
    assert row["networks"] == ["203.0.113.7/32"]
    assert (row["scopes"], row["aliases"]) == (["inference", "usage:read"], ["gpt"])
    stored = digest(shown.encode(), key_rows.pepper())
    assert key_rows.find_key_record(stored).networks == ("203.0.113.7/32",)
    for later in (lead.get(KEYS), lead.get(f"{KEYS}/{row['id']}")):
        page = later.content.decode()
        assert shown not in page
        assert stored not in page
        assert "digest" not in page
    assert shown not in str(list(AuditEvent.objects.values_list("after", flat=True)))
    assert Revision.objects.order_by("-pk").first().source == "api"


@pytest.mark.parametrize(
    ("more", "status", "field"),
    [
        ({"digest": "0" * 64}, 400, "digest"),
        ({"pepper": 1}, 400, "pepper"),
        ({"created_by": 1}, 400, "created_by"),
        ({"revoked_at": None}, 400, "revoked_at"),
        ({"id": 1}, 400, "id"),
        ({"client_id": 9}, 400, "client_id"),
        ({"client": "foreign"}, 400, "client"),
        ({"scopes": ["people:write"]}, 400, None),
        ({"scopes": []}, 400, None),
        ({"networks": ["10.0.0.1/8"]}, 400, None),
        ({"networks": ["not-a-network"]}, 400, None),
        ({"labels": {"bad name!": "x"}}, 400, None),
        ({"labels": {"a": ["x"]}}, 400, "labels.a"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400, "expires_at"),
        ({"aliases": ["secret-model"]}, 400, "aliases"),
    ],
)
def test_what_is_not_right_makes_no_key(lead, client, more, status, field):
    make_client(name="foreign", aliases=[make_alias(name="secret-model")])
    answer = issue(lead, **more)
    assert answer.status_code == status, answer.content
    if field:
        assert (answer.json()["error"]["param"] or "").startswith(field.split(".")[0])
    assert not ApiKey.objects.exists()


def test_a_machine_manages_keys_of_its_own_team_within_what_it_has(team, client):
    made = make_key(client=client, scopes=["inference", "keys:read", "keys:write"])
    foreign = make_key(client=make_client(name="foreign")).key
    machine = by_key(made.secret.reveal())
    assert issue(machine, scopes=["inference"]).status_code == 201
    for scopes in (["admin"], ["clients:write"], ["inference", "usage:read"]):
        answer = issue(machine, name="more", scopes=scopes)
        assert answer.status_code == 403, answer.content
    assert machine.get(f"{KEYS}/{foreign.pk}").status_code == 404
    assert machine.post(f"{KEYS}/{foreign.pk}/revoke").status_code == 404
    listed = {row["id"] for row in machine.get(KEYS).json()["results"]}
    assert foreign.pk not in listed
    answer = machine.patch(f"{KEYS}/{made.key.pk}", {"scopes": ["admin"]}, format="json")
    assert answer.status_code == 403
    made.key.refresh_from_db()
    assert made.key.scopes == ["inference", "keys:read", "keys:write"]


@pytest.mark.parametrize("role", ["viewer", "member", "billing_admin", "auditor"])
def test_who_may_only_look_makes_and_changes_nothing(team, client, role):
    key = make_key(client=client).key
    caller = APIClient()
    caller.force_login(make_person(role, team))
    for answer in (
        issue(caller, name="mine"),
        caller.patch(f"{KEYS}/{key.pk}", {"name": "x"}, format="json"),
        caller.post(f"{KEYS}/{key.pk}/revoke"),
        caller.post(f"{KEYS}/bulk", {"action": "revoke", "ids": [key.pk]}, format="json"),
    ):
        assert answer.status_code in (403, 404)
    key.refresh_from_db()
    assert (key.is_active, key.revoked_at, ApiKey.objects.count()) == (True, None, 1)


def test_a_key_is_disabled_enabled_and_revoked(lead, client):
    key = make_key(client=client).key
    states = []
    for verb in ("disable", "enable", "revoke"):
        answer = lead.post(f"{KEYS}/{key.pk}/{verb}")
        assert answer.status_code == 200
        states.append(answer.json()["status"])
    assert states == ["disabled", "live", "revoked"]
    for verb in ("disable", "enable"):
        assert lead.post(f"{KEYS}/{key.pk}/{verb}").status_code == 400
    told = Announcement.objects.filter(topic="accounts.holder", subject=f"key:{key.pk}")
    assert told.exists()
    changed = lead.patch(f"{KEYS}/{key.pk}", {"name": "again"}, format="json")
    assert changed.status_code == 400


def test_a_rotated_key_has_a_successor_and_a_grace(lead, client):
    key = make_key(client=client, name="ci").key
    answer = lead.post(f"{KEYS}/{key.pk}/rotate", {"grace_s": 3600}, format="json")
    assert answer.status_code == 201, answer.content
    assert answer.json()["row"]["predecessor"] == key.pk
    assert is_well_formed(answer.json()["key"].encode())
    key.refresh_from_db()
    assert key.rotated_at is not None
    assert timedelta(minutes=59) < key.expires_at - clock.now() <= timedelta(hours=1)
    assert lead.post(f"{KEYS}/{key.pk}/rotate", {"grace_s": -1}, format="json").status_code == 400


def test_many_are_changed_together_or_not_at_all(lead, client):
    ours = [make_key(client=client).key for _ in range(3)]
    foreign = make_key(client=make_client(name="foreign")).key
    ids = [key.pk for key in ours]
    answer = lead.post(
        f"{KEYS}/bulk", {"action": "revoke", "ids": [*ids, foreign.pk]}, format="json"
    )
    assert answer.status_code == 404
    assert not ApiKey.objects.exclude(revoked_at=None).exists()
    rotated = lead.post(f"{KEYS}/bulk", {"action": "rotate", "ids": ids}, format="json")
    assert len({one["key"] for one in rotated.json()["keys"]}) == 3
    revoked = lead.post(f"{KEYS}/bulk", {"action": "revoke", "ids": ids}, format="json")
    assert {row["status"] for row in revoked.json()["keys"]} == {"revoked"}
    late = lead.post(f"{KEYS}/bulk", {"action": "extend", "ids": ids}, format="json")
    assert late.status_code == 400
    assert foreign.revoked_at is None


def test_a_list_is_narrowed_in_a_fixed_number_of_queries(lead, client):
    def count():
        with CaptureQueriesContext(connection) as queries:
            assert lead.get(KEYS).status_code == 200
        return len(queries)

    make_key(client=client, name="alpha")
    one = count()
    for number in range(6):
        make_key(client=client, name=f"beta{number}", aliases=[make_alias()])
    assert count() == one

    def names(**query):
        return [row["name"] for row in lead.get(KEYS, query).json()["results"]]

    assert names(q="alph") == ["alpha"]
    assert names(client="bot", status="revoked") == []
    assert len(names(team="research", unused_since=(clock.now()).isoformat())) == 7
    assert lead.get(KEYS, {"digest": "x"}).status_code == 400


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ({"is_active": False}, {"is_active": True}),
        ({"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": "2090-01-01T00:00:00Z"}),
        ({"networks": ["10.0.0.0/8"]}, {"networks": []}),
    ],
)
def test_nobody_lets_a_key_work_again_that_they_could_not_issue(client, state, change):
    weak = by_key(make_key(client=client, scopes=["keys:read", "keys:write"]).secret.reveal())
    strong = make_key(client=client, scopes=["admin"]).key
    ApiKey.objects.filter(pk=strong.pk).update(**state)
    answer = weak.patch(f"{KEYS}/{strong.pk}", change, format="json")
    assert answer.status_code == 403, answer.content
    assert ApiKey.objects.filter(pk=strong.pk, **state).exists()
    assert weak.post(f"{KEYS}/{strong.pk}/rotate", {}, format="json").status_code == 403
    assert weak.post(f"{KEYS}/{strong.pk}/revoke").status_code == 200  # to end is no gift


def test_a_rotated_key_whose_grace_is_over_stays_ended(lead, client):
    key = make_key(client=client).key
    lead.post(f"{KEYS}/{key.pk}/rotate", {"grace_s": 60}, format="json")
    ApiKey.objects.filter(pk=key.pk).update(expires_at=clock.now() - timedelta(seconds=1))
    later = (clock.now() + timedelta(days=9)).isoformat()
    answer = lead.patch(f"{KEYS}/{key.pk}", {"expires_at": later}, format="json")
    assert answer.status_code == 400, answer.content
    key.refresh_from_db()
    assert key.expires_at < clock.now()
