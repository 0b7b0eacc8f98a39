"""Seals of the trail's head and of its checkpoints, under a key that is not in the database.

Who may write to the database can make a whole new chain, but no seal for it: the key is derived
by HKDF (RFC 5869) from CHATVAULT_VAULT_KEYS. The first key seals, all of them check.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from chatvault.settings.strength import decoded

_PURPOSE: Final = b"chatvault audit seal v1"
_BYTES: Final = 32


class Seal(NamedTuple):
    """`key_id` and `value` are empty where no usable key is configured."""

    key_id: str
    value: str


def make(last_id: int, hash_: str) -> Seal:
    """The seal of a trail that ends with this event and this hash."""
    ring = _ring(settings.CHATVAULT.vault.keys.get_secret_value())
    for key_id, key in ring.items():
        return Seal(key_id, _mac(key, last_id, hash_))
    return Seal("", "")


def problem(last_id: int, hash_: str, key_id: str, value: str) -> str:
    """Why this seal does not prove that the trail ended so; empty: it does."""
    if not value:
        return "it has no seal"
    key = _ring(settings.CHATVAULT.vault.keys.get_secret_value()).get(key_id)
    if key is None:
        return f"its key {key_id!r} is not in CHATVAULT_VAULT_KEYS any more"
    if not hmac.compare_digest(_mac(key, last_id, hash_), value):
        return "its seal is not one that ChatVault made"
    return ""


def _mac(key: bytes, last_id: int, hash_: str) -> str:
    return hmac.digest(key, b"%d:%s" % (last_id, hash_.encode()), "sha256").hex()


@lru_cache(maxsize=4)
def _ring(text: str) -> dict[str, bytes]:
    ring = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key_id, _, encoded = part.partition(":")
        key = decoded(encoded)
        if key_id and len(key_id) <= 32 and len(key) == _BYTES:
            ring[key_id] = HKDF(SHA256(), _BYTES, salt=None, info=_PURPOSE).derive(key)
    return ring
