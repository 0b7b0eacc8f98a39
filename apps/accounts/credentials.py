"""What callers show: the forms of keys and tokens, their digests, and what is known of them.

A key is `cv_`, 43 base62 digits (256 random bits) and 6 of a CRC-32, so that a mistyped or made-up
key is refused without asking anybody; an OAuth access token is `cvo_` and the same digits; a JWT
(RFC 7519) is told by its three parts. Only digests are ever stored or looked up.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from apps.accounts.tokens import KidUnknown
from chatvault.lib.errors import Unauthenticated

PREFIX: Final = "cv_"
OAUTH_PREFIX: Final = "cvo_"
REFRESH_PREFIX: Final = "cvr_"
INFERENCE: Final = "inference"
INFERENCE_ALONE: Final = frozenset({INFERENCE})
MIN_LENGTH: Final = 20
MAX_LENGTH: Final = 256
MAX_JWT_LENGTH: Final = 8192
_OURS: Final = (OAUTH_PREFIX, REFRESH_PREFIX, PREFIX)
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY_DIGITS: Final = 43  # 62^43 > 2^256
_CHECK_DIGITS: Final = 6  # 62^6 > 2^32


class KeyRecord(msgspec.Struct, frozen=True):
    """What a request needs to know of its key. A revoked key has no record."""

    key_id: int  # 0: a token, which is no key
    client_id: int
    name: str
    is_active: bool = True
    expires_at_s: float | None = None  # seconds since the epoch; None: never
    aliases: frozenset[str] | None = None  # narrows what the client may use; None: all of it
    kind: str = "key"  # key | jwt | oauth
    team_id: int = 0
    scopes: frozenset[str] = INFERENCE_ALONE
    networks: tuple[str, ...] = ()  # from which it may call, in CIDR form; (): from anywhere
    user_id: int = 0  # the person for whom a token was issued; 0: nobody
    application_id: int = 0  # the OAuth application that holds the token
    session_id: int = 0  # the sign-in that a JWT came from
    stored: str = ""  # the digest of its row, where that is not the one of its question

    def is_held_by(self, holder: str) -> bool:
        """Whether an announcement about `client:7`, `user:3` … is about this credential."""
        kind, _, text = holder.partition(":")
        own = getattr(self, f"{kind}_id", 0)
        return bool(own) and str(own) == text


Kind = Literal["key", "oauth", "jwt", "jwt-unseen"]


class Question(msgspec.Struct, frozen=True):
    """Who holds this? Asked of the control plane when a process does not know."""

    digest: str  # HMAC-SHA256 of the whole credential: by this the answer is given
    kind: Kind
    candidates: tuple[str, ...] = ()  # digests under which a row may be stored
    claims: dict[str, Any] = {}  # of a JWT whose signature and times were found right
    unseen: str = ""  # a JWT signed with a key that is not known here: nothing of it is believed

    def __repr__(self) -> str:
        return f"Question({self.kind})"


Verify = Callable[[str], dict[str, Any]]
"""The claims of a JWT that is right in every way. Raises Unauthenticated and KidUnknown."""


def issue_secret(prefix: str = PREFIX) -> str:
    """A new key; shown once to whoever asked for it, never stored."""
    body = _base62(secrets.randbits(256), _BODY_DIGITS)
    return prefix + body + _checksum(body)


def is_well_formed(token: bytes) -> bool:
    """Could this be a key? Ours carry a checksum; given keys are 20 to 256 printable letters."""
    if not MIN_LENGTH <= len(token) <= MAX_LENGTH or not token.isascii():
        return False
    text = token.decode("ascii")
    for prefix in _OURS:
        if text.startswith(prefix):
            return prefix == PREFIX and is_issued(text, prefix)
    return text.isprintable() and " " not in text


def is_issued(text: str, prefix: str) -> bool:
    """Whether it has the form of what `issue_secret(prefix)` makes, checksum included."""
    if not text.startswith(prefix) or len(text) != len(prefix) + _BODY_DIGITS + _CHECK_DIGITS:
        return False
    body = text[len(prefix) : -_CHECK_DIGITS]
    return hmac.compare_digest(_checksum(body).encode(), text[-_CHECK_DIGITS:].encode())


def is_jwt(token: bytes) -> bool:
    """Whether it has a JWT's looks: `{"` in base64url, and three parts (RFC 7519 §3)."""
    return token[:2] == b"ey" and token.count(b".") == 2


class Asker:
    """Tells keys and tokens apart and puts the question who holds one.

    `peppers`: those under which keys may be stored, the newest first.
    """

    def __init__(self, peppers: Sequence[bytes], verify: Verify | None = None) -> None:
        self._peppers = tuple(peppers)
        self._verify = verify

    def digest(self, token: bytes) -> str:
        """By which a process remembers a credential: the whole of it counts."""
        return hmac.digest(self._peppers[0], token, "sha256").hex()

    def question(self, token: bytes) -> Question:
        """Raises Unauthenticated for what cannot be anybody's, without asking."""
        own = self.digest(token)
        if is_jwt(token):
            return self._of_jwt(token, own)
        if token.startswith(OAUTH_PREFIX.encode()):
            if not is_issued(token.decode("ascii", "replace"), OAUTH_PREFIX):
                raise Unauthenticated
            return Question(own, "oauth", (hashlib.sha256(token).hexdigest(),))
        if not is_well_formed(token):
            raise Unauthenticated
        older = (digest(token, pepper) for pepper in self._peppers[1:])
        given = () if token.startswith(PREFIX.encode()) else (hashlib.sha256(token).hexdigest(),)
        return Question(own, "key", (own, *older, *given))

    def _of_jwt(self, token: bytes, own: str) -> Question:
        if self._verify is None or len(token) > MAX_JWT_LENGTH or not token.isascii():
            raise Unauthenticated
        text = token.decode("ascii")
        try:
            return Question(own, "jwt", claims=self._verify(text))
        except KidUnknown:
            return Question(own, "jwt-unseen", unseen=text)


def digest(token: bytes, pepper: bytes) -> str:
    """What is stored instead of the key: 64 hexadecimal digits."""
    return hmac.digest(pepper, token, "sha256").hex()


def hint_of(token: str) -> str:
    """First and last characters, for people to recognise a key by."""
    return f"{token[:6]}…{token[-4:]}"


def _base62(number: int, digits: int) -> str:
    out = []
    for _ in range(digits):
        number, rest = divmod(number, 62)
        out.append(_ALPHABET[rest])
    return "".join(reversed(out))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_DIGITS)
