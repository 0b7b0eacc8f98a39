"""Channels, alerts and deliveries by the REST API."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser

from apps.alerts import delivery
from apps.alerts.models import Channel, Delivery
from apps.audit.models import AuditEvent
from tests.factories import make_person, make_team
from tests.factories.alerts import SIGNING, make_alert, make_channel, make_delivery
from tests.fakes.receiver import Receiver

pytestmark = pytest.mark.django_db
JSON = "application/json"
HOOK = "https://hooks.example.org/T0KEN-in-the-path"


@pytest.fixture
def team() -> Any:
    return make_team()


@pytest.fixture
def owner() -> Browser:
    browser = Browser()
    browser.force_login(make_person("owner", None))
    return browser


@pytest.fixture
def lead(team: Any) -> Browser:
    browser = Browser()
    browser.force_login(make_person("admin", team))
    return browser


def post(browser: Browser, path: str, **data: Any) -> Any:
    return browser.post(f"/api/v1/{path}", data, content_type=JSON)


def patch(browser: Browser, path: str, **data: Any) -> Any:
    return browser.patch(f"/api/v1/{path}", data, content_type=JSON)


def hook(**more: Any) -> dict[str, Any]:
    given = {"name": "hook", "kind": "webhook", "secret_url": HOOK, "signing_secret": SIGNING}
    return given | more


def test_a_channel_is_made_changed_and_deleted(owner: Browser) -> None:
    made = post(owner, "alert-channels", **hook(topics=["budget.threshold"]))
    assert made.status_code == 201, made.json()
    body = made.json()
    number = body["id"]
    assert {name: body[name] for name in ("name", "kind", "team", "target", "topics")} == {
        "name": "hook", "kind": "webhook", "team": None, "target": "https://hooks.example.org",
        "topics": ["budget.threshold"],
    }  # fmt: skip
    changed = patch(owner, f"alert-channels/{number}", is_active=False)
    assert (changed.status_code, changed.json()["is_active"]) == (200, False)
    texts = [made.content, changed.content, owner.get("/api/v1/alert-channels").content]
    texts.append(str(list(AuditEvent.objects.values())).encode())
    assert not any(b"T0KEN" in text or SIGNING.encode() in text for text in texts)
    assert owner.delete(f"/api/v1/alert-channels/{number}").status_code == 204
    assert not Channel.objects.exists()
    actions = AuditEvent.objects.filter(topic="channel").order_by("id")
    assert [event.action for event in actions] == [
        "channel.added", "channel.changed", "channel.deleted",
    ]  # fmt: skip


def test_mailboxes(owner: Browser) -> None:
    made = post(owner, "alert-channels", name="m", kind="email", mailboxes=["ops@example.org"])
    assert made.status_code == 201, made.json()
    assert made.json()["mailboxes"] == ["ops@example.org"]
    changed = patch(owner, f"alert-channels/{made.json()['id']}", mailboxes=["a@example.org"])
    assert changed.json()["target"] == "a@example.org"


@pytest.mark.parametrize(
    ("param", "changes"),
    [
        ("secret_url", {"secret_url": "https://10.0.0.1/x"}),
        ("secret_url", {"secret_url": "dbus://"}),
        ("signing_secret", {"signing_secret": "short"}),
        ("topics", {"topics": ["nothing"]}),
        ("mailboxes", {"mailboxes": ["ops@example.org"]}),
        ("mailboxes.0", {"mailboxes": ["nobody"]}),
        ("kind", {"kind": "pigeon"}),
        ("sealed", {"sealed": "cv1:x"}),
        ("team", {"team": 987654321}),
    ],
    ids=["private", "scheme", "short", "topic", "mailboxes", "bad-mailbox", "kind", "unknown",
         "team"],
)  # fmt: skip
def test_what_cannot_work_is_refused(owner: Browser, param: str, changes: dict[str, Any]) -> None:
    answer = post(owner, "alert-channels", **hook(**changes))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert not Channel.objects.exists()


def test_the_same_name_is_a_conflict(owner: Browser) -> None:
    assert post(owner, "alert-channels", **hook()).status_code == 201
    assert post(owner, "alert-channels", **hook()).status_code == 409
    assert Channel.objects.count() == 1


def test_a_test_says_how_it_went(owner: Browser, receiver: Receiver) -> None:
    channel = make_channel(url=receiver.url)
    tried = post(owner, f"alert-channels/{channel.pk}/test")
    assert (tried.status_code, tried.json()["state"]) == (200, "sent")
    receiver.status = 418
    tried = post(owner, f"alert-channels/{channel.pk}/test")
    assert tried.json()["state"] == "given_up"
    assert tried.json()["last_error"] == "The receiver answered with status 418."
    assert post(owner, f"alert-channels/{channel.pk}/test", x=1).status_code == 400


def test_deliveries_are_listed_and_sent_again(owner: Browser, receiver: Receiver) -> None:
    channel = make_channel(url=receiver.url)
    lost = make_delivery(channel=channel, state="given_up", next_at=None, last_error="gone")
    make_delivery()
    found = owner.get(f"/api/v1/alert-deliveries?state=given_up&channel={channel.pk}").json()
    assert [row["id"] for row in found["results"]] == [lost.pk]
    again = post(owner, f"alert-deliveries/{lost.pk}/retry")
    assert (again.status_code, again.json()["state"]) == (200, "waiting")
    assert post(owner, f"alert-deliveries/{lost.pk}/retry").status_code == 409
    Delivery.objects.exclude(pk=lost.pk).delete()
    assert delivery.deliver_due() == 1
    assert owner.get("/api/v1/alert-deliveries?nothing=1").status_code == 400


def test_alerts_are_filtered(owner: Browser) -> None:
    one = make_alert(topic="price.unpriced", title="gpt-x has no price")
    make_alert()
    for query in ("topic=price.unpriced", "search=gpt-x"):
        found = owner.get(f"/api/v1/alerts?{query}").json()["results"]
        assert [row["id"] for row in found] == [one.pk]
    assert owner.get("/api/v1/alerts?since=2999-01-01T00:00:00Z").json()["results"] == []


def test_topics_are_listed(lead: Browser) -> None:
    names = [row["name"] for row in lead.get("/api/v1/alert-channels/topics").json()["results"]]
    assert "budget.threshold" in names
    assert names == sorted(names)


def test_a_team_has_its_own_alone(lead: Browser, team: Any) -> None:
    other = make_team()
    foreign = make_delivery(channel=make_channel(team=other), alert=make_alert(team_id=other.pk))
    shared = make_channel()
    assert post(lead, "alert-channels", **hook(team=team.pk)).status_code == 201
    assert post(lead, "alert-channels", **hook(name="all")).status_code == 403
    assert post(lead, "alert-channels", **hook(team=other.pk)).status_code == 400
    own = Channel.objects.get(team=team)
    assert patch(lead, f"alert-channels/{own.pk}", team=None).status_code == 403
    assert Channel.objects.get(pk=own.pk).team == team
    for path in (
        f"alert-channels/{foreign.channel_id}", f"alert-channels/{shared.pk}",
        f"alerts/{foreign.alert_id}", f"alert-deliveries/{foreign.pk}",
    ):  # fmt: skip
        assert lead.get(f"/api/v1/{path}").status_code == 404, path
    assert post(lead, f"alert-channels/{foreign.channel_id}/test").status_code == 404
    assert post(lead, f"alert-deliveries/{foreign.pk}/retry").status_code == 404
    assert [row["id"] for row in lead.get("/api/v1/alert-channels").json()["results"]] == [own.pk]
