"""Whether secrets are fit for an address that others can reach."""

import base64
import binascii

from chatvault.lib.peppers import parse_ring
from chatvault.settings.core import CoreSettings
from chatvault.settings.vault import VaultSettings

MIN_BYTES = 32
_PLACEHOLDERS = ("changeme", "change-me", "change_me", "secret", "example", "insecure", "password")


def weaknesses(core: CoreSettings, vault: VaultSettings) -> list[str]:
    """What is wrong with the secrets, one phrase each; never the values."""
    found = []
    if is_guessable(core.secret_key.get_secret_value()):
        found.append("CHATVAULT_SECRET_KEY is missing, short or a placeholder")
    return found + malformed(vault)


def malformed(vault: VaultSettings) -> list[str]:
    """Which keys could not be used at all, one phrase each."""
    found = []
    if not pepper_is_whole(vault.pepper.get_secret_value()):
        found.append("CHATVAULT_KEY_PEPPER is not base64 of at least 32 bytes")
    if not vault_keys_are_whole(vault.keys.get_secret_value()):
        found.append("CHATVAULT_VAULT_KEYS is not a list of id:base64 with 32 bytes each")
    return found


def is_guessable(secret: str) -> bool:
    text = secret.lower()
    too_plain = len(set(secret)) < 10 or any(word in text for word in _PLACEHOLDERS)
    return len(secret.encode()) < MIN_BYTES or too_plain


def vault_keys_are_whole(keys: str) -> bool:
    """`id:base64,…` with 32 bytes each and ids that differ."""
    parts = [part.strip().partition(":") for part in keys.split(",") if part.strip()]
    ids = [key_id for key_id, _, _ in parts]
    whole = all(key_id and len(decoded(text)) == MIN_BYTES for key_id, _, text in parts)
    return bool(parts) and whole and len(set(ids)) == len(ids)


def pepper_is_whole(ring: str) -> bool:
    """One pepper or `number:base64,…`, each of at least 32 bytes."""
    try:
        return all(len(pepper) >= MIN_BYTES for pepper in parse_ring(ring).values())
    except ValueError:
        return False


def decoded(text: str) -> bytes:
    """The bytes of a base64 text, none when it is not one."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
