"""By webhook: JSON that is signed, through the guard that every outgoing request goes through."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Final

from django.conf import settings

from apps.alerts import message, secrets
from apps.alerts.errors import SendFailed
from apps.alerts.models import Delivery
from chatvault.lib import clock
from chatvault.lib.guarded_fetch import Fetched, FetchFailed, fetch

SIGNATURE: Final = "x-chatvault-signature"
DELIVERY: Final = "x-chatvault-delivery"
MOST_ANSWER: Final = 64 * 1024


def send(delivery: Delivery) -> None:
    kept = secrets.reveal(delivery.channel)
    if not kept.signing:
        raise SendFailed("The channel has no signing secret: enter one.")
    body = json.dumps(message.payload(delivery), ensure_ascii=False, default=str).encode()
    at_s = int(clock.wall_s())
    answer = post(
        kept.url,
        body,
        {
            "content-type": "application/json",
            "user-agent": "ChatVault-Alerts/1",
            "x-chatvault-topic": delivery.alert.topic,
            DELIVERY: str(delivery.public_id),
            SIGNATURE: f"t={at_s},v1={signature(kept.signing, at_s, body)}",
        },
    )
    if not 200 <= answer.status < 300:
        raise SendFailed(f"The receiver answered with status {answer.status}.")


def signature(secret: str, at_s: int, body: bytes) -> str:
    """HMAC-SHA256 of `<seconds>.<body>`, hexadecimal: a body cannot be changed, and one that was
    overheard cannot be sent again later."""
    return hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()


def post(url: str, body: bytes | None, headers: dict[str, str], method: str = "POST") -> Fetched:
    """The answer, whatever its status. Raises SendFailed."""
    limits = settings.CHATVAULT.alerts
    try:
        return fetch(
            url,
            private_hosts=limits.private_hosts,
            method=method,
            body=body,
            headers=headers,
            max_bytes=MOST_ANSWER,
            timeout_s=limits.timeout_s,
        )
    except FetchFailed as failed:
        raise SendFailed(in_our_words(str(failed))) from None


def in_our_words(text: str) -> str:
    """The guard speaks of providers, which are called more often."""
    ours = text.replace("CHATVAULT_PRIVATE_HOSTS", "CHATVAULT_ALERTS_PRIVATE_HOSTS")
    return ours.replace("The provider", "The receiver").replace("Providers", "Receivers")
