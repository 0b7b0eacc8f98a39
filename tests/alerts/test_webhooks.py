"""Webhooks to a real server on this machine."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from apps import alerts
from apps.alerts import delivery
from apps.alerts.models import Alert, Delivery
from chatvault.lib import clock
from tests.factories import make_team
from tests.factories.alerts import SIGNING, make_channel
from tests.fakes.receiver import Receiver, Taken

pytestmark = pytest.mark.django_db
State = Delivery.State


def tell(key: str = "budget:1:80", **more: Any) -> int:
    given: dict[str, Any] = {
        "title": "80 % is spent",
        "text": "It has spent $8.00 of $10.00.",
        "team_id": None,
        "facts": {"spent_usd": "8", "line_percent": 80},
    }
    return alerts.tell("budget.threshold", key=key, **given | more)


def is_signed(taken: Taken, secret: str) -> bool:
    fields = dict(part.split("=", 1) for part in taken.headers["x-chatvault-signature"].split(","))
    signed = f"{fields['t']}.".encode() + taken.body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return abs(clock.wall_s() - int(fields["t"])) < 60 and fields["v1"] == expected


def wait_over() -> None:
    """As if the wait before the next attempt were over."""
    rows = Delivery.objects.filter(next_at__isnull=False)
    rows.update(next_at=clock.now() - timedelta(seconds=1))


def test_what_is_told_arrives_signed(receiver: Receiver) -> None:
    team = make_team(name="research")
    make_channel(url=receiver.url)
    alert_id = tell(team_id=team.pk)
    assert delivery.deliver_due() == 1
    (taken,) = receiver.taken
    assert is_signed(taken, SIGNING)
    assert not is_signed(taken, SIGNING + "x")
    row = Delivery.objects.get()
    assert taken.headers["x-chatvault-delivery"] == str(row.public_id)
    assert taken.headers["content-type"] == "application/json"
    body = json.loads(taken.body)
    assert body.pop("at").endswith("Z")
    assert body == {
        "version": 1, "id": str(row.public_id), "alert": alert_id, "topic": "budget.threshold",
        "key": "budget:1:80", "title": "80 % is spent", "text": "It has spent $8.00 of $10.00.",
        "facts": {"spent_usd": "8", "line_percent": 80},
        "team": {"id": team.pk, "name": "research"}, "url": "", "test": False,
    }  # fmt: skip
    assert (row.state, row.attempts, row.last_error, row.next_at) == (State.SENT, 1, "", None)
    assert row.sent_at is not None
    assert row.duration_ms is not None


def test_the_example_of_the_page_checks_a_signature(receiver: Receiver) -> None:
    make_channel(url=receiver.url)
    tell()
    delivery.deliver_due()
    (taken,) = receiver.taken
    page = Path("docs/alerts.md").read_text(encoding="utf-8")
    (example,) = [
        block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "hmac" in block
    ]
    known: dict[str, Any] = {}
    exec(example, known)
    check, header = known["is_from_chatvault"], taken.headers["x-chatvault-signature"]
    assert check(SIGNING, header, taken.body)
    assert not check(SIGNING, header, taken.body + b" ")
    assert not check("another", header, taken.body)
    assert not check(SIGNING, header, taken.body, now=clock.wall_s() + 301)
    assert not check(SIGNING, "t=1", taken.body)
    assert not check(SIGNING, "", taken.body)


def test_the_same_is_sent_once_and_counted(receiver: Receiver) -> None:
    make_channel(url=receiver.url)
    assert len({tell() for _ in range(3)}) == 1
    delivery.deliver_due()
    tell()
    delivery.deliver_due()
    assert len(receiver.taken) == 1
    assert Alert.objects.get().count == 4


def test_after_its_time_it_is_told_again(receiver: Receiver) -> None:
    make_channel(url=receiver.url)
    first = tell(until=clock.now() + timedelta(hours=1))
    assert tell() == first
    Alert.objects.update(until=clock.now() - timedelta(seconds=1))
    second = tell()
    assert second != first
    assert delivery.deliver_due() == 2
    assert list(Alert.objects.order_by("pk").values_list("count", flat=True)) == [2, 1]


@pytest.mark.parametrize("status", [500, 404, 429], ids=str)
def test_a_failure_is_repeated_until_it_arrives(receiver: Receiver, status: int) -> None:
    make_channel(url=receiver.url)
    tell()
    receiver.answers = [status]
    assert delivery.deliver_due() == 0
    row = Delivery.objects.get()
    assert (row.state, row.attempts) == (State.FAILED, 1)
    assert row.last_error == f"The receiver answered with status {status}."
    assert row.next_at is not None
    assert timedelta(seconds=25) < row.next_at - clock.now() <= timedelta(seconds=30)
    assert delivery.deliver_due() == 0  # not yet
    wait_over()
    assert delivery.deliver_due() == 1
    row.refresh_from_db()
    assert (row.state, row.attempts, row.last_error) == (State.SENT, 2, "")
    ids = {taken.headers["x-chatvault-delivery"] for taken in receiver.taken}
    assert (len(receiver.taken), ids) == (2, {str(row.public_id)})


def test_it_is_given_up_in_the_end(receiver: Receiver, configure: Any) -> None:
    configure(private_hosts=("127.0.0.1",), max_attempts=3)
    make_channel(url=receiver.url)
    tell()
    receiver.status = 503
    for _ in range(5):
        wait_over()
        delivery.deliver_due()
    row = Delivery.objects.get()
    assert (row.state, row.attempts, row.next_at) == (State.GIVEN_UP, 3, None)
    assert len(receiver.taken) == 3


def test_waits_grow_and_have_an_end(configure: Any) -> None:
    configure(first_retry_s=30, longest_retry_s=3600)
    waits = [int(delivery.wait_after(number).total_seconds()) for number in range(1, 7)]
    assert waits == [30, 90, 270, 810, 2430, 3600]


def test_a_slow_receiver_is_a_failure(receiver: Receiver, configure: Any) -> None:
    configure(private_hosts=("127.0.0.1",), timeout_s=0.3)
    make_channel(url=receiver.url)
    tell()
    receiver.answers = [("wait", 1.0)]
    assert delivery.deliver_due() == 0
    assert Delivery.objects.get().last_error == "127.0.0.1 did not answer within 0.3 s."


def test_a_redirect_is_refused(receiver: Receiver) -> None:
    make_channel(url=receiver.url)
    tell()
    receiver.answers = [("redirect", f"http://{receiver.host}/elsewhere")]
    assert delivery.deliver_due() == 0
    assert "redirects, which is not followed" in Delivery.objects.get().last_error
    assert [taken.path for taken in receiver.taken] == ["/hook"]


def test_an_address_that_is_private_is_not_asked(receiver: Receiver, configure: Any) -> None:
    channel = make_channel(url=receiver.url)
    tell()
    configure(private_hosts=())
    assert delivery.deliver_due() == 0
    assert receiver.taken == []
    assert Delivery.objects.get(channel=channel).last_error == "127.0.0.1 must be asked by https."


def test_one_that_hangs_does_not_hold_up_the_others(receiver: Receiver) -> None:
    make_channel(url=receiver.url)
    make_channel(url=f"http://{receiver.host}/other")
    for number in range(3):
        tell(key=str(number))
    receiver.answers = [500]
    assert delivery.deliver_due() == 3
    states = list(Delivery.objects.values_list("state", flat=True))
    assert sorted(states) == ["failed", "sent", "sent", "sent", "waiting", "waiting"]


def test_a_round_that_took_too_long_leaves_the_rest_to_the_next(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_channel(url=receiver.url)
    for number in range(3):
        tell(key=str(number))
    with monkeypatch.context() as patched:
        patched.setattr(delivery, "LONGEST_ROUND_S", -1.0)
        assert delivery.deliver_due() == 0
    assert delivery.deliver_due() == 3


def test_a_worker_that_died_over_it_is_followed_by_another(receiver: Receiver) -> None:
    make_channel(url=receiver.url)
    tell()
    row = Delivery.objects.get()
    Delivery.objects.update(state=State.SENDING, attempts=1, next_at=clock.now() + delivery.LEASE)
    assert delivery.deliver_due() == 0
    wait_over()
    assert delivery.deliver_due() == 1
    row.refresh_from_db()
    assert (row.state, row.attempts) == (State.SENT, 2)


def test_only_channels_of_the_topic_and_the_team_take_it(receiver: Receiver) -> None:
    ours, theirs = make_team(), make_team()
    everything = make_channel(url=receiver.url)
    of_ours = make_channel(url=receiver.url, team=ours)
    make_channel(url=receiver.url, team=theirs)
    make_channel(url=receiver.url, topics=["price.unpriced"])
    of_topic = make_channel(url=receiver.url, topics=["budget.threshold"])
    make_channel(url=receiver.url, is_active=False)
    tell(team_id=ours.pk)
    taking = Delivery.objects.values_list("channel_id", flat=True)
    assert set(taking) == {everything.pk, of_ours.pk, of_topic.pk}
    tell(key="of the installation")
    taking = Delivery.objects.filter(alert__key="of the installation")
    assert set(taking.values_list("channel_id", flat=True)) == {everything.pk, of_topic.pk}


def test_what_waits_for_a_channel_that_is_switched_off_is_given_up(receiver: Receiver) -> None:
    channel = make_channel(url=receiver.url)
    tell()
    channel.is_active = False
    channel.save()
    delivery.deliver_due()
    row = Delivery.objects.get()
    assert (row.state, row.last_error) == (State.GIVEN_UP, "The channel is switched off.")
    assert receiver.taken == []


def test_links_lead_to_the_public_address(receiver: Receiver, configure: Any) -> None:
    configure(private_hosts=("127.0.0.1",), public_url="https://gateway.example.org")
    make_channel(url=receiver.url)
    tell(link="/admin/billing/budget/1/change/")
    delivery.deliver_due()
    (taken,) = receiver.taken
    body = json.loads(taken.body)
    assert body["url"] == "https://gateway.example.org/admin/billing/budget/1/change/"
