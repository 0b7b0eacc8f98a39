"""JWTs on the hot path (RFC 7519, RFC 8725): which are right in every way, and what they claim.

The token chooses nothing: its issuer must be one that is trusted, the key is that issuer's by its
id, and the algorithm is the key's. What a header says about keys (`jwk`, `jku`, `x5u`, `x5c`) is
not looked at, and one with `crit` is refused: no extension is understood.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Final

import jwt
import msgspec

from chatvault.lib.errors import Unauthenticated

ALGORITHMS: Final = (
    *("ES256", "ES384", "ES512", "EdDSA"),
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
)
"""Asymmetric alone: who can check a token must not be able to make one."""

TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
REQUIRED: Final = ("iss", "aud", "exp", "iat", "sub")
OWN: Final = 0
MAX_KID: Final = 200


class KidUnknown(Unauthenticated):
    """The issuer is trusted and may have new keys; nothing of the token is believed yet."""


class VerifyingKey(msgspec.Struct, frozen=True):
    """One public key of an issuer, as a JWK (RFC 7517), and the one algorithm it goes with."""

    kid: str
    algorithm: str
    jwk: dict[str, Any]


class TokenIssuer(msgspec.Struct, frozen=True):
    """Somebody whose JWTs are believed. Id 0 is this installation."""

    id: int
    issuer: str  # compared as a whole
    audiences: tuple[str, ...]
    keys: tuple[VerifyingKey, ...] = ()
    leeway_s: float = 10.0
    max_lifetime_s: float = 86_400.0


class _Header(msgspec.Struct):
    alg: str = ""
    kid: str = ""
    typ: str = "JWT"
    crit: Any = msgspec.UNSET
    b64: Any = msgspec.UNSET  # RFC 7797; needs `crit`


class _Issuer(msgspec.Struct):
    iss: str = ""


class Verifier:
    """Checks tokens against the issuers of one snapshot. Thread-safe; holds no state but keys."""

    def __init__(self, issuers: Iterable[TokenIssuer]) -> None:
        self._issuers = {one.issuer: one for one in issuers}
        self._keys: dict[tuple[int, str], tuple[str, Any]] = {}
        for issuer in self._issuers.values():
            for key in issuer.keys:
                if key.algorithm in ALGORITHMS:
                    loaded = jwt.PyJWK(key.jwk, key.algorithm)
                    self._keys[issuer.id, key.kid] = (key.algorithm, loaded)

    def verify(self, token: str) -> dict[str, Any]:
        """The claims, with the issuer's id as `issuer_id`. Raises Unauthenticated, for whatever
        reason in the same words, and KidUnknown."""
        header, issuer = self._read(token)
        known = self._keys.get((issuer.id, header.kid))
        if known is None:
            raise KidUnknown
        algorithm, key = known
        if header.alg != algorithm:
            raise Unauthenticated
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key=key,
                algorithms=[algorithm],
                audience=issuer.audiences,
                issuer=issuer.issuer,
                leeway=issuer.leeway_s,
                options={"require": list(REQUIRED)},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise Unauthenticated from None
        if not _is_sane(claims, issuer):
            raise Unauthenticated
        return {**claims, "issuer_id": issuer.id}

    def _read(self, token: str) -> tuple[_Header, TokenIssuer]:
        """What a token says of itself before anything is believed."""
        parts = token.split(".")
        if len(parts) != 3:
            raise Unauthenticated
        try:
            header = msgspec.json.decode(_unpad(parts[0]), type=_Header)
        except (msgspec.MsgspecError, binascii.Error, ValueError):
            raise Unauthenticated from None
        issuer = self._issuers.get(named_issuer(token))
        if (
            issuer is None
            or header.crit is not msgspec.UNSET
            or header.b64 is not msgspec.UNSET
            or header.typ.lower() not in TYPES
            or header.alg not in ALGORITHMS
            or not 0 < len(header.kid) <= MAX_KID
        ):
            raise Unauthenticated
        return header, issuer


def named_issuer(token: str) -> str:
    """Whom a token names as its issuer, which is no reason to believe it; "" for no token."""
    parts = token.split(".")
    try:
        return msgspec.json.decode(_unpad(parts[1]), type=_Issuer).iss if len(parts) == 3 else ""
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return ""


def _is_sane(claims: dict[str, Any], issuer: TokenIssuer) -> bool:
    """Times that are numbers and not absurd, and a subject that is somebody."""
    issued, expires, subject = claims["iat"], claims["exp"], claims["sub"]
    times = (issued, expires, claims.get("nbf", issued))
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in times):
        return False
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        return False
    return 0 < expires - issued <= issuer.max_lifetime_s


def _unpad(part: str) -> bytes:
    """Base64url without padding (RFC 7515 §2), strictly: one text has one form."""
    if "=" in part or not part:
        raise ValueError("padding")
    decoded = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part.encode():
        raise ValueError("not canonical")
    return decoded
