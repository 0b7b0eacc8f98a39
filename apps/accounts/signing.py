"""The keys that sign our JWTs, and the issuers that are believed beside ourselves."""

from __future__ import annotations

import json
import secrets
from datetime import timedelta
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.conf import settings
from django.db import transaction
from jwt.algorithms import get_default_algorithms

from apps.accounts.models import SigningKey, TrustedIssuer
from apps.accounts.tokens import ALGORITHMS, OWN, TokenIssuer, Verifier, VerifyingKey
from apps.audit import trail
from apps.configuration import announce
from chatvault.lib import clock
from chatvault.lib.redact import Secret
from chatvault.lib.vault import SecretContext, Vault
from chatvault.lib.writer import hold_writer

TOPIC: Final = "accounts.signing"
_RSA_BITS: Final = 3072
_OF_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


@transaction.atomic
def make_signing_key() -> SigningKey:
    """A new key pair, which signs from now on."""
    algorithm = settings.CHATVAULT.tokens.algorithm
    private = _generate(algorithm)
    kid = secrets.token_hex(8)
    public = json.loads(get_default_algorithms()[algorithm].to_jwk(private.public_key()))
    public |= {"kid": kid, "alg": algorithm, "use": "sig"}
    public.pop("key_ops", None)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key = SigningKey.objects.create(
        kid=kid,
        algorithm=algorithm,
        public_jwk=public,
        sealed=_vault().seal(pem.decode(), _context(kid)),
    )
    trail.record("signing_key.made", target=key, after={"kid": kid, "algorithm": algorithm})
    announce.after_commit(TOPIC)
    return key


@transaction.atomic
def rotate_signing_keys() -> SigningKey:
    """A new key signs; the old ones are believed until what they signed has ended."""
    tokens = settings.CHATVAULT.tokens
    now = clock.now()
    longest = max(tokens.access_lifetime_s, tokens.refresh_lifetime_s) + tokens.leeway_s
    until = now + timedelta(seconds=longest)
    retired = list(SigningKey.objects.signing().values_list("kid", flat=True))
    SigningKey.objects.filter(kid__in=retired).update(retired_at=now, ends_at=until)
    key = make_signing_key()
    trail.record("signing_key.rotated", target=key, before={"kids": retired})
    return key


@transaction.atomic
def end_signing_key(*, key: SigningKey) -> None:
    """Whatever it signed is refused from now on, as after a leak."""
    now = clock.now()
    SigningKey.objects.filter(pk=key.pk).update(retired_at=key.retired_at or now, ends_at=now)
    trail.record("signing_key.ended", target=key, after={"ends_at": now.isoformat()})
    announce.after_commit(TOPIC)


def signing_key() -> SigningKey:
    """The key that signs now; the first one is made when it is needed."""
    key = SigningKey.objects.signing().first()
    if key is not None:
        return key
    with transaction.atomic():
        hold_writer()
        return SigningKey.objects.signing().first() or make_signing_key()


def private_of(key: SigningKey) -> Secret:
    """The private half, as PEM (PKCS 8). Raises SecretUnavailable."""
    return _vault().open(key.sealed, _context(key.kid))


def jwks() -> dict[str, Any]:
    """A JWK set (RFC 7517 §5) of the keys whose tokens are believed."""
    rows = SigningKey.objects.verifying(clock.now())
    return {"keys": [row.public_jwk for row in rows]}


def issuers() -> tuple[TokenIssuer, ...]:
    """Everybody whose tokens are believed now, ourselves first."""
    tokens = settings.CHATVAULT.tokens
    own = TokenIssuer(
        id=OWN,
        issuer=tokens.issuer,
        audiences=(tokens.audience, *tokens.accepted_audiences),
        keys=tuple(
            VerifyingKey(row.kid, row.algorithm, row.public_jwk)
            for row in SigningKey.objects.verifying(clock.now())
        ),
        leeway_s=tokens.leeway_s,
        max_lifetime_s=max(tokens.access_lifetime_s, tokens.refresh_lifetime_s) + 1,
    )
    rows = TrustedIssuer.objects.filter(is_active=True).exclude(issuer=tokens.issuer)
    return (own, *(outside(row) for row in rows))


def outside(row: TrustedIssuer) -> TokenIssuer:
    return TokenIssuer(
        id=row.pk,
        issuer=row.issuer,
        audiences=tuple(row.audiences),
        keys=verifying_keys(row.jwks),
        leeway_s=settings.CHATVAULT.tokens.leeway_s,
        max_lifetime_s=float(row.max_lifetime_s),
    )


def verifier() -> Verifier:
    """Built anew from rows: for the control plane, which may ask."""
    return Verifier(issuers())


def verifying_keys(jwks: Any) -> tuple[VerifyingKey, ...]:
    """The keys of a JWK set that can check signatures; others are left out without a word."""
    found = []
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    for jwk in keys if isinstance(keys, list) else ():
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        if not isinstance(kid, str) or not kid or jwk.get("use", "sig") != "sig":
            continue
        algorithm = _algorithm_of(jwk)
        if algorithm is None or _load(jwk, algorithm) is None:
            continue
        public = {name: value for name, value in jwk.items() if name in _PUBLIC}
        found.append(VerifyingKey(kid, algorithm, public))
    return tuple(found)


_PUBLIC: Final = frozenset({"kty", "kid", "alg", "use", "crv", "x", "y", "n", "e"})


def _algorithm_of(jwk: dict[str, Any]) -> str | None:
    """One algorithm for one key: what it says, or what its kind is usually used with."""
    named = jwk.get("alg")
    if named is not None:
        return named if named in ALGORITHMS else None
    if jwk.get("kty") == "RSA":
        return "RS256"
    return _OF_CURVE.get(str(jwk.get("crv")))


def _load(jwk: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    try:
        return jwt.PyJWK({k: v for k, v in jwk.items() if k in _PUBLIC}, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None


def _generate(algorithm: str) -> Any:
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("RS"):
        return rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    return ec.generate_private_key(ec.SECP384R1() if algorithm == "ES384" else ec.SECP256R1())


def _context(kid: str) -> SecretContext:
    return SecretContext("jwt-signing", "accounts.signingkey", kid, "sealed", "")


def _vault() -> Vault:
    sections = settings.CHATVAULT
    return Vault(Secret(sections.vault.keys.get_secret_value()), home=sections.home)
