from __future__ import annotations

from typing import Any

from apps.alerts import channels
from apps.alerts.models import Alert, Channel, Delivery
from chatvault.lib import clock
from tests.factories.numbers import unique

SIGNING = "a-signing-secret-of-32-characters"


def make_channel(*, url: str = "", signing: str = SIGNING, **fields: Any) -> Channel:
    """By mail, or a webhook to `url`."""
    values: dict[str, Any] = {"name": unique("channel")}
    if url:
        values |= {"kind": Channel.Kind.WEBHOOK}
    else:
        values |= {"kind": Channel.Kind.EMAIL, "recipients": "ops@example.org"}
    channel = Channel(**values | fields)
    is_webhook = channel.kind == Channel.Kind.WEBHOOK
    channels.prepare(channel, secret_url=url, signing_secret=signing if is_webhook else "")
    channel.save()
    return channel


def make_alert(**fields: Any) -> Alert:
    now = clock.now()
    values: dict[str, Any] = {
        "topic": "budget.threshold",
        "key": unique("key"),
        "title": "80 % of a budget is spent",
        "text": "It has spent $8.00 of $10.00.",
        "at": now,
        "last_at": now,
    }
    return Alert.objects.create(**values | fields)


def make_delivery(**fields: Any) -> Delivery:
    values: dict[str, Any] = dict(fields)
    values.setdefault("alert", None)
    values["alert"] = values["alert"] or make_alert()
    values.setdefault("channel", None)
    values["channel"] = values["channel"] or make_channel()
    values.setdefault("next_at", clock.now())
    return Delivery.objects.create(**values)
