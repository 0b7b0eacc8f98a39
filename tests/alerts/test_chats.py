"""Chats: which addresses are taken, and that every plugin speaks through the guard."""

from __future__ import annotations

import inspect
import json
import logging
import re
from importlib import import_module
from typing import Any

import pytest

from apps import alerts
from apps.alerts import delivery
from apps.alerts.errors import ChannelRefused
from apps.alerts.models import Channel, Delivery
from apps.alerts.senders import chat, chat_http
from tests.factories.alerts import make_channel
from tests.fakes.receiver import Receiver

SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
TEAMS = (
    "https://prod-161.westeurope.logic.azure.com:443/workflows/643e69f83c8944438d68119179a10a64"
    "/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0"
    "&sig=KODuebWbDGYFr0z0eu-6Rj8aUKz7108W3wrNJZxFE5A"
)
DISCORD = "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
GOOGLE = "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=abcdef&token=ghijkl"
WEBEX = "https://api.ciscospark.com/v1/webhooks/incoming/" + "a" * 80
TAKEN = {
    SLACK: "Slack",
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general": "Slack",
    TEAMS: "Microsoft Teams",
    DISCORD: "Discord",
    GOOGLE: "Google Chat",
    WEBEX: "Webex",
    "tgram://123456789:abcdefg_hijklmnop/12315544/": "Telegram",
    "mmosts://chat.example.org/3ccdd113474722377935511fc85d3dd4": "Mattermost",
    "pagerduty://A1BRTD4JD@TIiajkdnlazkcOXrIdevi7FQ/node01.local/drive/": "PagerDuty",
    "opsgenie://a3c1b6a5-7b1a-4d5a-8b1a-3c1b6a57b1a4": "Opsgenie",
}
REFUSED = {
    "file": "file:///etc/passwd",
    "script": "windows://",
    "dbus": "dbus://",
    "syslog": "syslog://localhost",
    "json": "json://localhost/hook",
    "form": "forms://example.org",
    "mailto": "mailto://user:pass@example.org",
    "another host": "https://example.org/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "a host that looks alike": "https://hooks.slack.com.example.org/services/a/b/c",
    "a file as a template": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template=/etc/x",
    "a template of teams": f"{TEAMS}&template=file:///etc/passwd",
    "no check of the certificate": "mmosts://chat.example.org/3ccdd113474722377935511f?verify=no",
    "redirects": "mmosts://chat.example.org/3ccdd113474722377935511f?redirect=yes",
    "prefixed option": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?:x=1",
    "incomplete": "slack://T1JJ3T3L2/",
    "blanks": f"{SLACK} x",
    "nothing": "slack",
    "a bad host": "https://[::1/services",
}


@pytest.mark.parametrize("url", TAKEN, ids=TAKEN.values())
def test_known_services_are_taken(url: str) -> None:
    assert chat.check(url) == TAKEN[url]


@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_is_refused(name: str) -> None:
    with pytest.raises(ChannelRefused) as refused:
        chat.check(REFUSED[name])
    assert refused.value.field == "secret_url"
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in refused.value.message


@pytest.mark.parametrize("service", chat.SERVICES, ids=lambda one: one.plugin)
def test_a_plugin_has_no_other_way_out(service: chat.Service) -> None:
    """What it calls of `requests` is what the guarded one has, and it knows no other library."""
    module = import_module(f"apprise.plugins.{service.plugin}")
    chat_http.guard(module)
    chat_http.guard(module)
    guarded = module.__dict__["requests"]
    assert isinstance(guarded, chat_http.GuardedRequests)
    source = inspect.getsource(module)
    used = set(re.findall(r"(?<![\w.\"'])requests\.(\w+)", source)) - {"delete"}
    assert {name for name in used if not hasattr(guarded, name)} == set()
    assert (
        re.findall(r"^\s*(?:import|from) (urllib\.request|http|socket|httpx|aiohttp)", source, re.M)
        == []
    )


def tell() -> None:
    alerts.tell(
        "budget.threshold", key="k", title="80 % is spent", text="It has spent $8.00.",
        team_id=None, facts={},
    )  # fmt: skip


@pytest.mark.django_db
def test_a_message_goes_through_the_guard(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plugin: Any = import_module("apprise.plugins.slack").NotifySlack
    monkeypatch.setattr(plugin, "webhook_url", f"http://{receiver.host}/services")
    make_channel(url=SLACK, kind="chat")
    tell()
    assert delivery.deliver_due() == 1
    (taken,) = receiver.taken
    assert taken.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    text = json.dumps(json.loads(taken.body))
    assert "[ChatVault] 80 % is spent" in text
    assert "It has spent $8.00." in text
    assert "TIiajkdnlazkcOXrIdevi7FQ" not in caplog.text
    assert Channel.objects.get().address == "Slack"


@pytest.mark.django_db
def test_what_a_chat_refuses_is_told_without_its_address(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin: Any = import_module("apprise.plugins.slack").NotifySlack
    monkeypatch.setattr(plugin, "webhook_url", f"http://{receiver.host}/services")
    make_channel(url=SLACK, kind="chat")
    tell()
    receiver.answers = [404]
    assert delivery.deliver_due() == 0
    assert Delivery.objects.get().last_error == "Slack: 127.0.0.1 answered with status 404."


@pytest.mark.django_db
def test_a_chat_of_ones_own_needs_the_operators_leave(receiver: Receiver, configure: Any) -> None:
    url = f"mmost://{receiver.host}/3ccdd113474722377935511fc85d3dd4"
    make_channel(url=url, kind="chat")
    tell()
    assert delivery.deliver_due() == 1
    assert receiver.taken[0].path == "/hooks/3ccdd113474722377935511fc85d3dd4"
    configure(private_hosts=())
    Delivery.objects.update(
        state="waiting", sent_at=None, next_at=Delivery.objects.get().created_at
    )
    assert delivery.deliver_due() == 0
    assert Delivery.objects.get().last_error == "Mattermost: 127.0.0.1 must be asked by https."
    assert len(receiver.taken) == 1
