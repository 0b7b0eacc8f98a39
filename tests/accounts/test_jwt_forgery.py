"""Promise S11: whatever is wrong with a token, it is refused, and always in the same words."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import get_default_algorithms

from apps.accounts.tokens import KidUnknown, TokenIssuer, Verifier, VerifyingKey
from chatvault.lib.errors import Unauthenticated

ISSUER, AUDIENCE, KID = "https://id.example.com", "chatvault", "k1"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, algorithm: str, kid: str) -> VerifyingKey:
    public = json.loads(get_default_algorithms()[algorithm].to_jwk(key.public_key()))
    return VerifyingKey(kid, algorithm, {**public, "kid": kid, "alg": algorithm})


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    keys = (jwk(EC_KEY, "ES256", KID), jwk(RSA_KEY, "RS256", "rsa"))
    mine = TokenIssuer(1, ISSUER, (AUDIENCE,), keys, leeway_s=5, max_lifetime_s=3600)
    other = TokenIssuer(2, "https://other.example", ("elsewhere",), (jwk(STRANGER, "ES256", "o1"),))
    return Verifier([mine, other])


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "iat": now, "exp": now + 600}
    return {k: v for k, v in {**given, **changes}.items() if v is not None}


def token(
    key: Any = EC_KEY, alg: str = "ES256", kid: str | None = KID, head: Any = None, **changes: Any
) -> str:
    headers = {**({"kid": kid} if kid is not None else {}), **(head or {})}
    return jwt.encode(claims(**changes), key, algorithm=alg, headers=headers)


def by_hand(head: Any, body: Any, signature: bytes = b"") -> str:
    parts = [json.dumps(head).encode(), json.dumps(body).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def signed_hs256(secret: bytes, kid: str) -> str:
    unsigned = by_hand({"alg": "HS256", "kid": kid, "typ": "JWT"}, claims()).rsplit(".", 1)[0]
    mac = hmac.digest(secret, unsigned.encode(), hashlib.sha256)
    return unsigned + "." + base64.urlsafe_b64encode(mac).decode().rstrip("=")


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def der(key: Any) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def embedded() -> dict[str, Any]:
    return json.loads(get_default_algorithms()["ES256"].to_jwk(STRANGER.public_key()))


def tampered(part: int) -> str:
    parts = token().split(".")
    middle = len(parts[part]) // 2
    letter = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + letter + parts[part][middle + 1 :]
    return ".".join(parts)


def now() -> int:
    return int(time.time())


FORGED = {
    "none": lambda: by_hand({"alg": "none", "kid": KID, "typ": "JWT"}, claims()),
    "None in capitals": lambda: by_hand({"alg": "nOnE", "kid": KID, "typ": "JWT"}, claims()),
    "no algorithm": lambda: by_hand({"kid": KID, "typ": "JWT"}, claims()),
    "no signature": lambda: token().rsplit(".", 1)[0] + ".",
    "RS to HS with the PEM": lambda: signed_hs256(pem(RSA_KEY), "rsa"),
    "RS to HS with the DER": lambda: signed_hs256(der(RSA_KEY), "rsa"),
    "ES to HS with the PEM": lambda: signed_hs256(pem(EC_KEY), KID),
    "HS with an empty secret": lambda: signed_hs256(b"", KID),
    "another algorithm of the same key": lambda: token(RSA_KEY, "RS512", "rsa"),
    "PSS for PKCS 1": lambda: token(RSA_KEY, "PS256", "rsa"),
    "the key of another id": lambda: token(RSA_KEY, "RS256", KID),
    "a stranger's key": lambda: token(STRANGER),
    "embedded jwk": lambda: token(STRANGER, head={"jwk": embedded()}),
    "jku": lambda: token(STRANGER, head={"jku": "https://evil.example/jwks.json"}),
    "x5u": lambda: token(STRANGER, head={"x5u": "https://evil.example/cert.pem"}),
    "x5c": lambda: token(STRANGER, head={"x5c": ["AAAA"]}),
    "kid that climbs": lambda: token(STRANGER, kid="../../../../dev/null"),
    "kid with SQL": lambda: token(STRANGER, kid="k1' UNION SELECT 'key"),
    "kid of a template": lambda: token(STRANGER, kid="{{7*7}}"),
    "kid of another issuer": lambda: token(STRANGER, kid="o1"),
    "empty kid": lambda: token(kid=""),
    "no kid": lambda: token(kid=None),
    "a number as kid": lambda: by_hand({"alg": "ES256", "kid": 1, "typ": "JWT"}, claims()),
    "a huge kid": lambda: token(kid="k" * 5000),
    "crit": lambda: token(head={"crit": ["exp"], "exp": 1}),
    "empty crit": lambda: token(head={"crit": []}),
    "unencoded payload": lambda: token(head={"b64": False}),
    "another type": lambda: token(head={"typ": "dpop+jwt"}),
    "a logout token": lambda: token(head={"typ": "logout+jwt"}),
    "wrong audience": lambda: token(aud="somebody-else"),
    "audience as prefix": lambda: token(aud="chatvault-staging"),
    "audience in a list of others": lambda: token(aud=["a", "b"]),
    "audience in an object": lambda: token(aud={"chatvault": 1}),
    "audience of another issuer": lambda: token(aud="elsewhere"),
    "no audience": lambda: token(aud=None),
    "issuer as prefix": lambda: token(iss=ISSUER + ".evil.example"),
    "shorter issuer": lambda: token(iss=ISSUER[:-1]),
    "issuer with a slash": lambda: token(iss=ISSUER + "/"),
    "issuer in capitals": lambda: token(iss=ISSUER.upper()),
    "issuer in a list": lambda: by_hand(
        {"alg": "ES256", "kid": KID, "typ": "JWT"}, {**claims(), "iss": [ISSUER]}
    ),
    "no issuer": lambda: token(iss=None),
    "expired": lambda: token(iat=now() - 100, exp=now() - 10),
    "expired long ago": lambda: token(iat=0, exp=10),
    "no expiry": lambda: token(exp=None),
    "expiry as text": lambda: token(exp="never"),
    "infinite expiry": lambda: token(exp=1e400),
    "expiry of 2^63": lambda: token(exp=2**63),
    "true as expiry": lambda: token(exp=True),
    "lives too long": lambda: token(exp=now() + 3700),
    "ends before it begins": lambda: token(iat=now() + 3, exp=now() + 2),
    "not yet valid": lambda: token(nbf=now() + 60),
    "issued tomorrow": lambda: token(iat=now() + 86_400, exp=now() + 86_500),
    "no time of issue": lambda: token(iat=None),
    "no subject": lambda: token(sub=None),
    "empty subject": lambda: token(sub=""),
    "subject as number": lambda: token(sub=7),
    "header changed": lambda: tampered(0),
    "claims changed": lambda: tampered(1),
    "signature changed": lambda: tampered(2),
    "padding": lambda: token() + "=",
    "four parts": lambda: token() + ".AAAA",
    "two parts": lambda: token().rsplit(".", 1)[0],
    "five parts of a JWE": lambda: "eyJhbGciOiJkaXIifQ..AA.AA.AA",
    "not JSON": lambda: "eyJub3QganNvbg.eyJub3QganNvbg.AAAA",
    "a list as claims": lambda: by_hand({"alg": "ES256", "kid": KID}, [1]),
    "not base64": lambda: "ey!!.ey!!.!!",
    "blank": lambda: " ",
    "dots": lambda: "..",
    "nested deeply": lambda: by_hand(
        {"alg": "ES256", "kid": KID}, json.loads("[" * 400 + "]" * 400)
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_token_is_refused(verifier: Verifier, name: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        verifier.verify(FORGED[name]())
    assert refused.value.message == Unauthenticated.default_message
    assert refused.value.code == "invalid_api_key"


@pytest.mark.parametrize(
    ("good", "issuer"),
    [
        (token, 1),
        (lambda: token(RSA_KEY, "RS256", "rsa"), 1),
        (lambda: token(head={"typ": "at+jwt"}), 1),
        (lambda: token(aud=["a", AUDIENCE]), 1),
        (lambda: token(nbf=now() - 1), 1),
        (lambda: token(iat=now() + 3), 1),  # clocks differ by less than the leeway
        (lambda: token(STRANGER, kid="o1", iss="https://other.example", aud="elsewhere"), 2),
    ],
)
def test_what_is_right_is_taken(verifier: Verifier, good: Any, issuer: int) -> None:
    found = verifier.verify(good())
    assert found["sub"] == "u1"
    assert found["issuer_id"] == issuer


def test_a_key_of_another_issuer_is_not_even_looked_at(verifier: Verifier) -> None:
    with pytest.raises(KidUnknown):
        verifier.verify(token(STRANGER, kid="o1"))


def test_an_embedded_key_changes_nothing_for_a_good_token(verifier: Verifier) -> None:
    assert verifier.verify(token(head={"jwk": embedded()}))["sub"] == "u1"
