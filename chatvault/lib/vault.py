"""Secrets at rest: sealed with AES-256-GCM in the database, or a reference to where they live.

A sealed text is `cv1:<key id>:<base64 of nonce and ciphertext>`. It opens only in the context it
was sealed for (purpose, table, row, field and the provider's origin are authenticated with it), so
a ciphertext that is moved to another row, or whose provider moved to another host, stays shut.
Every purpose has its own key, derived by HKDF (RFC 5869) from the ring in CHATVAULT_VAULT_KEYS.

References are `env:NAME` and `file:PATH`; they are resolved when the secret is needed.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chatvault.lib.redact import Secret
from chatvault.lib.references import SecretProblem, SecretUnavailable, is_reference, resolve

VERSION: Final = "cv1"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12

_RE_ENTER: Final = "Enter the secret again in the admin, or give env:NAME or file:PATH."


class VaultKeysInvalid(SecretProblem):
    """The key ring itself is missing or malformed."""


class SecretContext(msgspec.Struct, frozen=True):
    """Where a secret belongs. `origin` is scheme://host:port of the provider it was given for."""

    purpose: str
    table: str
    row: str
    field: str
    origin: str

    def associated_data(self) -> bytes:
        """Each part with its length before it, so that no two contexts share their bytes."""
        return length_prefixed(self.purpose, self.table, self.row, self.field, self.origin)


def length_prefixed(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def is_sealed(text: str) -> bool:
    return text.startswith(f"{VERSION}:")


class Vault:
    """Seals and opens secrets with a ring of keys: the first seals, all open.

    `home` is ChatVault's state folder, which references may not reach into.
    """

    __slots__ = ("_derived", "_environ", "_home", "_primary", "_ring")

    def __init__(
        self,
        keys: Secret,
        *,
        environ: Mapping[str, str] | None = None,
        home: Path | None = None,
    ) -> None:
        self._ring = _parse_ring(keys.reveal())
        self._primary = next(iter(self._ring), "")
        self._derived: dict[tuple[str, str], AESGCM] = {}
        self._environ = os.environ if environ is None else environ
        self._home = home

    def __repr__(self) -> str:
        return f"Vault({', '.join(self._ring)})"

    def seal(self, plain: str, context: SecretContext) -> str:
        """A new sealed text of `plain`; two of the same differ. Raises VaultKeysInvalid."""
        if not self._primary:
            raise VaultKeysInvalid(
                "There is no key to seal secrets with.",
                "Set CHATVAULT_VAULT_KEYS to id:base64 with 32 random bytes.",
            )
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._cipher(self._primary, context.purpose)
        sealed = nonce + cipher.encrypt(nonce, plain.encode(), context.associated_data())
        return f"{VERSION}:{self._primary}:{base64.b64encode(sealed).decode()}"

    def open(self, stored: str, context: SecretContext) -> Secret:
        """The secret behind a sealed text or a reference. Raises SecretUnavailable, or
        SecretRefused for a reference that is not allowed."""
        if is_sealed(stored):
            return self._unseal(stored, context)
        if is_reference(stored):
            return resolve(stored, environ=self._environ, home=self._home)
        if not stored:
            raise SecretUnavailable("No secret is stored.", _RE_ENTER)
        raise SecretUnavailable("What is stored is neither sealed nor a reference.", _RE_ENTER)

    def needs_resealing(self, stored: str) -> bool:
        """Was it sealed with a key that is no longer the first of the ring?"""
        return is_sealed(stored) and stored.split(":", 2)[1] != self._primary

    def _unseal(self, stored: str, context: SecretContext) -> Secret:
        _, key_id, text = [*stored.split(":", 2), "", ""][:3]
        if key_id not in self._ring:
            raise SecretUnavailable(
                f"The secret is sealed with the key {key_id!r}, which is not in the ring.",
                f"Add {key_id} to CHATVAULT_VAULT_KEYS again, or enter the secret anew.",
            )
        try:
            sealed = base64.b64decode(text, validate=True)
            cipher = self._cipher(key_id, context.purpose)
            nonce, body = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            return Secret(cipher.decrypt(nonce, body, context.associated_data()).decode())
        except (InvalidTag, binascii.Error, ValueError):
            raise SecretUnavailable(
                "The sealed secret does not belong here: it was changed, moved from another "
                "row, or given for another address.",
                _RE_ENTER,
            ) from None

    def _cipher(self, key_id: str, purpose: str) -> AESGCM:
        cipher = self._derived.get((key_id, purpose))
        if cipher is None:
            info = length_prefixed("chatvault", VERSION, purpose)
            derived = HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(self._ring[key_id])
            cipher = self._derived[key_id, purpose] = AESGCM(derived)
        return cipher


def _parse_ring(text: str) -> dict[str, bytes]:
    ring: dict[str, bytes] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key_id, _, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", key_id) or len(key) != KEY_BYTES:
            raise VaultKeysInvalid(
                "CHATVAULT_VAULT_KEYS is malformed.",
                "Write id:base64 with 32 random bytes, several separated by commas.",
            )
        if key_id in ring:
            raise VaultKeysInvalid(
                f"CHATVAULT_VAULT_KEYS has the id {key_id} twice.", "Give every key its own id."
            )
        ring[key_id] = key
    return ring
