"""What an alert says, for each kind of channel."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.conf import settings

from apps.alerts.models import Alert, Delivery
from apps.alerts.topics import TEST, title_of

VERSION = 1


def url_of(alert: Alert) -> str:
    """The page of the admin that it is about; empty where the address is not known."""
    base = settings.CHATVAULT.alerts.public_url or settings.CHATVAULT.oauth.issuer
    return f"{base}{alert.link}" if base and alert.link else ""


def payload(delivery: Delivery) -> dict[str, Any]:
    """The body of a webhook: see docs/alerts.md. Fields are added, never changed."""
    alert = delivery.alert
    return {
        "version": VERSION,
        "id": str(delivery.public_id),
        "alert": alert.pk,
        "topic": alert.topic,
        "key": alert.key,
        "title": alert.title,
        "text": alert.text,
        "facts": alert.facts,
        "team": {"id": alert.team_id, "name": alert.team_name} if alert.team_id else None,
        "url": url_of(alert),
        "at": alert.at.isoformat().replace("+00:00", "Z"),
        "test": alert.topic == TEST,
    }


def subject(alert: Alert) -> str:
    return f"[ChatVault] {alert.title}"


def plain(alert: Alert) -> str:
    """For mail and chats."""
    parts = [alert.text, "\n".join(f"{name}: {value}" for name, value in facts_of(alert))]
    if url := url_of(alert):
        parts.append(url)
    return "\n\n".join(part for part in parts if part)


def facts_of(alert: Alert) -> list[tuple[str, str]]:
    """Names and values as people write them. Amounts in nano-USD have one in USD beside them."""
    return [
        _in_words(name, value)
        for name, value in alert.facts.items()
        if not name.endswith("_nano") and isinstance(value, str | int | float) and value != ""
    ]


def _in_words(name: str, value: object) -> tuple[str, str]:
    for ending, written in (("_usd", "${}"), ("_percent", "{} %")):
        if name.endswith(ending):
            return name.removesuffix(ending).replace("_", " "), written.format(value)
    return name.replace("_", " "), str(value)


def context(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert,
        "topic": title_of(alert.topic),
        "facts": facts_of(alert),
        "url": url_of(alert),
        "found": f"{alert.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
    }
