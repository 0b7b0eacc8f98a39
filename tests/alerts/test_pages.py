"""The pages of channels, alerts and deliveries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps import alerts
from apps.alerts import delivery
from apps.alerts.models import Channel, Delivery
from apps.audit.models import AuditEvent
from tests.audit.pages import posted
from tests.factories import make_person, make_team
from tests.factories.alerts import SIGNING, make_alert, make_channel, make_delivery
from tests.fakes.receiver import Receiver

pytestmark = pytest.mark.django_db
ADD = "admin:alerts_channel_add"
LIST = "admin:alerts_channel_changelist"
HOOK = "https://hooks.example.org/T0KEN-in-the-path"


def signed_in(role: str = "owner", team: Any = None) -> Browser:
    browser = Browser()
    browser.force_login(make_person(role, team, username=f"{role}-{team}"))
    return browser


def errors_of(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def fields(**more: Any) -> dict[str, Any]:
    return {"name": "hook", "kind": "webhook", "secret_url": HOOK, "is_active": "on",
            "signing_secret": SIGNING} | more  # fmt: skip


def test_a_channel_is_made_and_its_secrets_never_shown() -> None:
    browser = signed_in()
    made = browser.post(reverse(ADD), fields(topics=["budget.threshold"]))
    assert made.status_code == 302, errors_of(made)
    channel = Channel.objects.get()
    assert channel.sealed.startswith("cv1:")
    assert channel.address == "https://hooks.example.org"
    pages = [
        browser.get(reverse("admin:alerts_channel_change", args=[channel.pk])),
        browser.get(reverse(LIST)),
        browser.get(reverse("admin:alerts_channel_history", args=[channel.pk])),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "T0KEN" not in page.content.decode()
        assert SIGNING not in page.content.decode()
    told = str(list(AuditEvent.objects.values()))
    assert "T0KEN" not in told
    assert SIGNING not in told
    (event,) = AuditEvent.objects.filter(action="channel.added")
    assert (event.after["name"], event.after["secret_url"]) == ("hook", "***")
    url = reverse("admin:alerts_channel_change", args=[channel.pk])
    sealed = channel.sealed
    posted(browser, url, name="renamed")
    channel.refresh_from_db()
    assert (channel.name, channel.sealed) == ("renamed", sealed)
    posted(browser, url, secret_url="https://other.example.org/x")
    channel.refresh_from_db()
    assert channel.address == "https://other.example.org"
    assert channel.sealed != sealed


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("secret_url", {"secret_url": ""}),
        ("secret_url", {"secret_url": "http://hooks.example.org/x"}),
        ("secret_url", {"secret_url": "https://127.0.0.1/x"}),
        ("secret_url", {"secret_url": "https://169.254.169.254/latest"}),
        ("secret_url", {"secret_url": "https://hooks.example.org:8443/x"}),
        ("secret_url", {"secret_url": "file:///etc/passwd"}),
        ("secret_url", {"secret_url": "https://user:password@hooks.example.org/"}),
        ("signing_secret", {"signing_secret": ""}),
        ("signing_secret", {"signing_secret": "short"}),
        ("recipients", {"kind": "email", "secret_url": "", "signing_secret": ""}),
        ("recipients", {"kind": "email", "secret_url": "", "signing_secret": "",
                        "recipients": "not a mailbox"}),
        ("secret_url", {"kind": "email", "recipients": "ops@example.org"}),
        ("secret_url", {"kind": "chat", "signing_secret": ""}),
        ("topics", {"topics": ["nothing"]}),
        ("name", {"name": ""}),
    ],
    ids=["none", "http", "loopback", "metadata", "port", "file", "userinfo", "unsigned", "short",
         "no-mailbox", "bad-mailbox", "mail-with-address", "unknown-chat", "topic", "name"],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_the_reason(field: str, changes: dict[str, Any]) -> None:
    answer = signed_in().post(reverse(ADD), fields(**changes))
    assert list(errors_of(answer)) == [field]
    assert not Channel.objects.exists()


def test_the_same_name_twice_is_told() -> None:
    make_channel(name="hook")
    answer = signed_in().post(reverse(ADD), fields())
    assert errors_of(answer) == {"__all__": ["There is a channel of this name already."]}


def test_another_kind_needs_its_address_again() -> None:
    channel = make_channel(url="https://hooks.example.org/x", name="hook")
    url = reverse("admin:alerts_channel_change", args=[channel.pk])
    answer = signed_in().post(url, fields(kind="chat", secret_url="", signing_secret=""))
    assert list(errors_of(answer)) == ["secret_url"]


def test_the_test_button_says_how_it_went(receiver: Receiver) -> None:
    browser = signed_in()
    channel = make_channel(url=receiver.url, is_active=False)
    url = reverse("admin:alerts_channel_test", args=[channel.pk])
    page = browser.post(url, follow=True).content.decode()
    assert "The test alert was taken in" in page
    assert f"Test of the channel {channel.name}" in page
    (taken,) = receiver.taken
    assert b'"test": true' in taken.body
    receiver.status = 500
    page = browser.post(url, follow=True).content.decode()
    assert "The test alert did not arrive: The receiver answered with status 500." in page
    states = list(Delivery.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["sent", "given_up"]
    results = AuditEvent.objects.filter(action="channel.tested").order_by("pk")
    assert [event.after["result"] for event in results] == ["sent", "given_up"]
    assert browser.get(url).status_code == 405


def test_what_was_given_up_is_sent_again(receiver: Receiver) -> None:
    browser = signed_in()
    channel = make_channel(url=receiver.url)
    lost = make_delivery(channel=channel, state="given_up", next_at=None, attempts=8)
    alerts.tell("ledger.audit", key="k", title="t", text="t", team_id=None, facts={})
    delivery.deliver_due()
    rows = [str(pk) for pk in Delivery.objects.values_list("pk", flat=True)]
    listed = reverse("admin:alerts_delivery_changelist")
    answer = browser.post(listed, {"action": "send_again", "_selected_action": rows}, follow=True)
    assert "1 are sent again. 1 were sent or wait already." in answer.content.decode()
    lost.refresh_from_db()
    assert (lost.state, lost.attempts) == ("waiting", 0)
    assert delivery.deliver_due() == 1
    assert AuditEvent.objects.filter(action="delivery.retried").count() == 1


def test_lists_take_a_fixed_number_of_queries(django_assert_max_num_queries: Any) -> None:
    browser = signed_in()
    for _ in range(3):
        channel = make_channel(team=make_team())
        for _ in range(3):
            make_delivery(channel=channel)
    for name, most in (("channel", 11), ("alert", 9), ("delivery", 11)):
        url = reverse(f"admin:alerts_{name}_changelist")
        browser.get(url)
        with django_assert_max_num_queries(most):
            assert browser.get(url).status_code == 200


def test_every_page_of_a_row_opens() -> None:
    browser = signed_in()
    row = make_delivery(alert=make_alert(facts={"spent_usd": "8"}, link="/admin/billing/budget/"))
    for name, pk in (("alert", row.alert_id), ("delivery", row.pk), ("channel", row.channel_id)):
        page = browser.get(reverse(f"admin:alerts_{name}_change", args=[pk]))
        assert page.status_code == 200
        assert row.alert.title in page.content.decode()
        assert "(&#x27;" not in page.content.decode()  # a state is told in words


def test_a_team_sees_and_makes_its_own_alone() -> None:
    ours, theirs = make_team(name="ours"), make_team(name="theirs")
    browser = signed_in("admin", ours)
    mine = make_delivery(
        channel=make_channel(team=ours, name="mine"), alert=make_alert(team_id=ours.pk)
    )
    foreign = make_delivery(
        channel=make_channel(team=theirs, name="foreign"), alert=make_alert(team_id=theirs.pk)
    )
    shared = make_channel(name="everybodys")
    for name, seen, hidden in (
        ("channel", mine.channel_id, [foreign.channel_id, shared.pk]),
        ("alert", mine.alert_id, [foreign.alert_id]),
        ("delivery", mine.pk, [foreign.pk]),
    ):
        listed = browser.get(reverse(f"admin:alerts_{name}_changelist"))
        assert [row.pk for row in listed.context["cl"].result_list] == [seen]
        for pk in hidden:
            page = browser.get(reverse(f"admin:alerts_{name}_change", args=[pk]))
            assert page.status_code in (302, 404)
    test = reverse("admin:alerts_channel_test", args=[foreign.channel_id])
    assert browser.post(test).status_code == 404
    for_all = browser.post(reverse(ADD), fields())
    assert list(errors_of(for_all)) == ["team"]
    for_them = browser.post(reverse(ADD), fields(team=theirs.pk))
    assert list(errors_of(for_them)) == ["team"]
    assert browser.post(reverse(ADD), fields(team=ours.pk)).status_code == 302
    assert Channel.objects.get(name="hook").team == ours


@pytest.mark.parametrize("role", ["member", "auditor"])
def test_who_only_reads_changes_nothing(role: str) -> None:
    team = make_team()
    browser = signed_in(role, team)
    channel = make_channel(team=team)
    page = browser.get(reverse("admin:alerts_channel_change", args=[channel.pk]))
    assert page.status_code == 200
    assert b"test-channel" not in page.content
    assert browser.post(reverse(ADD), fields(team=team.pk)).status_code == 403
    test = reverse("admin:alerts_channel_test", args=[channel.pk])
    assert browser.post(test).status_code in (403, 404)
    assert not Delivery.objects.exists()


def test_switching_off_is_recorded(configure: Callable[..., None]) -> None:
    browser = signed_in()
    channel = make_channel()
    chosen = {"action": "switch_off", "_selected_action": [channel.pk]}
    browser.post(reverse(LIST), chosen)
    channel.refresh_from_db()
    assert not channel.is_active
    (event,) = AuditEvent.objects.filter(action="channel.changed")
    assert event.after == {"is_active": False}
