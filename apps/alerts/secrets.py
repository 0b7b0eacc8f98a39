"""What a channel sends to and signs with: sealed in its row, opened by the worker that sends."""

from __future__ import annotations

import msgspec

from apps.alerts.errors import SendFailed
from apps.alerts.models import Channel
from apps.providers.errors import SecretProblem
from apps.providers.secrets import SecretContext
from apps.providers.services import vault
from chatvault.lib.redact import Secret


class Sealed(msgspec.Struct):
    """`url` leads there and may itself be the secret; `signing` is the webhook's own."""

    url: str
    signing: str = ""

    def __repr__(self) -> str:
        return "Sealed(***)"


def seal(channel: Channel, content: Sealed) -> str:
    """Raises VaultKeysInvalid."""
    return vault().seal(msgspec.json.encode(content).decode(), _context(channel))


def reveal(channel: Channel) -> Sealed:
    """Raises SendFailed."""
    try:
        opened = vault().open(channel.sealed, _context(channel))
    except SecretProblem as problem:
        raise SendFailed(f"{problem.reason} Enter the channel's address again.") from None
    return msgspec.json.decode(opened.reveal(), type=Sealed)


def reseal(channel: Channel) -> bool:
    """Whether it was sealed with an older key of the ring, and is with the first one now."""
    if not vault().needs_resealing(channel.sealed):
        return False
    plain: Secret = vault().open(channel.sealed, _context(channel))
    channel.sealed = vault().seal(plain.reveal(), _context(channel))
    channel.save(update_fields=["sealed"])
    return True


def _context(channel: Channel) -> SecretContext:
    return SecretContext(
        "alert-channel", "alerts.channel", str(channel.public_id), "sealed", channel.kind
    )
