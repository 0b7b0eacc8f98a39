"""What tokens look like: a prefix and a checksum, so that scanners find leaked ones."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

from apps.accounts import credentials, keys

INITIAL_PREFIX: Final = "cvi_"
REGISTRATION_PREFIX: Final = "cvm_"
_USER_CODE: Final = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628 §6.1: no vowels, nothing that looks alike
_USER_CODE_LENGTH: Final = 8


def access_token(request: Any = None) -> str:
    return credentials.issue_secret(credentials.OAUTH_PREFIX)


def refresh_token(request: Any = None) -> str:
    return credentials.issue_secret(credentials.REFRESH_PREFIX)


def user_code() -> str:
    """34 bits: enough for ten minutes and ten attempts (RFC 8628 §5.1)."""
    return "".join(secrets.choice(_USER_CODE) for _ in range(_USER_CODE_LENGTH))


def in_groups(code: str) -> str:
    """`WDJB-MJHT`, as people read it."""
    return f"{code[:4]}-{code[4:]}"


def as_typed(code: str) -> str:
    """What somebody meant who typed small letters, blanks or the hyphen."""
    return "".join(letter for letter in code.upper() if letter.isalnum())[:32]


def digest(token: str) -> str:
    """What is stored of a random token or code."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def peppered(code: str) -> str:
    """What is stored of a code that is short enough to be guessed from a plain digest."""
    return credentials.digest(code.encode("utf-8", "replace"), keys.pepper())
