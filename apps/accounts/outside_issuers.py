"""JWTs of outside issuers: their keys, fetched and kept, and the client that a token acts for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
from django.conf import settings
from django.db import transaction

from apps.accounts import signing, tokens
from apps.accounts.credentials import KeyRecord, Question
from apps.accounts.models import IssuerRule, TrustedIssuer
from apps.accounts.roles import MACHINE_SCOPES
from apps.accounts.tokens import OWN, Verifier
from apps.audit import trail
from apps.configuration import announce
from chatvault.lib import clock
from chatvault.lib.errors import Unauthenticated
from chatvault.lib.guarded_fetch import FetchFailed, fetch

logger = logging.getLogger(__name__)

DISCOVERY: Final = "/.well-known/openid-configuration"
ANY: Final = "*"
MAX_KEYS: Final = 100


def fetch_keys(issuer: TrustedIssuer) -> bool:
    """Ask for the issuer's keys now and keep them; True: they changed.

    Raises FetchFailed, after noting it; keys that were known stay.
    """
    try:
        jwks = _fetched(issuer)
    except FetchFailed as problem:
        TrustedIssuer.objects.filter(pk=issuer.pk).update(
            fetched_at=clock.now(), fetch_problem=str(problem)[:300]
        )
        raise
    return _keep(issuer, jwks)


@transaction.atomic
def _keep(issuer: TrustedIssuer, jwks: dict[str, Any]) -> bool:
    before = [key.kid for key in signing.verifying_keys(issuer.jwks)]
    is_changed = issuer.jwks != jwks
    TrustedIssuer.objects.filter(pk=issuer.pk).update(
        jwks=jwks, fetched_at=clock.now(), fetch_problem=""
    )
    issuer.jwks = jwks
    if is_changed:
        after = [key.kid for key in signing.verifying_keys(jwks)]
        trail.record(
            "issuer.keys_changed", target=issuer, before={"kids": before}, after={"kids": after}
        )
        announce.after_commit(signing.TOPIC)
    return is_changed


def changed(issuer: TrustedIssuer) -> None:
    """Its row or its rules are others now: gateways read them anew, and forget its tokens."""
    announce.after_commit(signing.TOPIC)


def _fetched(issuer: TrustedIssuer) -> dict[str, Any]:
    url = issuer.jwks_url or _discovered(issuer)
    found = _json(url)
    if not isinstance(found.get("keys"), list) or len(found["keys"]) > MAX_KEYS:
        raise FetchFailed("The address of the keys answers with something else.")
    usable = signing.verifying_keys(found)
    if not usable:
        raise FetchFailed("Among the issuer's keys there is none that ChatVault can use.")
    return {"keys": [{**key.jwk, "kid": key.kid, "alg": key.algorithm} for key in usable]}


def _discovered(issuer: TrustedIssuer) -> str:
    """OpenID Connect Discovery 1.0 §4.3: the document must name the issuer that was asked."""
    found = _json(issuer.issuer.rstrip("/") + DISCOVERY)
    if found.get("issuer") != issuer.issuer:
        raise FetchFailed("The discovery document names another issuer.")
    url = found.get("jwks_uri")
    if not isinstance(url, str):
        raise FetchFailed("The discovery document names no address of keys.")
    return url


def _json(url: str) -> dict[str, Any]:
    answer = fetch(url, private_hosts=settings.CHATVAULT.tokens.private_hosts)
    if answer.status != 200:
        raise FetchFailed(f"The issuer answers with status {answer.status}.")
    try:
        found: dict[str, Any] = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise FetchFailed("The issuer's answer is not a JSON object.") from None
    return found


def verify_unseen(token: str) -> dict[str, Any] | None:
    """The claims of a token whose key id a gateway does not know: keys of ours may be newer than
    its snapshot, and an outside issuer is asked once more, though not often."""
    try:
        return signing.verifier().verify(token)
    except Unauthenticated:
        issuer = _named_by(token)
    if issuer is None or not _may_ask(issuer):
        return None
    try:
        fetch_keys(issuer)
        return Verifier([signing.outside(issuer)]).verify(token)
    except FetchFailed as problem:
        logger.warning("keys of issuer %s cannot be fetched: %s", issuer.name, problem)
    except Unauthenticated:
        pass
    return None


def _named_by(token: str) -> TrustedIssuer | None:
    named = tokens.named_issuer(token)
    return TrustedIssuer.objects.filter(is_active=True, issuer=named).first() if named else None


def _may_ask(issuer: TrustedIssuer) -> bool:
    """One of all processes asks, and none within the cooldown: strangers choose key ids."""
    now = clock.now()
    oldest = now - timedelta(seconds=settings.CHATVAULT.tokens.jwks_cooldown_s)
    due = TrustedIssuer.objects.filter(pk=issuer.pk).exclude(fetched_at__gt=oldest)
    return bool(due.update(fetched_at=now))


def find_outside(questions: Sequence[Question]) -> Mapping[str, KeyRecord]:
    """Who holds tokens of outside issuers, by the rules of each, in one query."""
    outside = [one for one in questions if one.claims.get("issuer_id") not in (OWN, None)]
    rules: dict[int, list[IssuerRule]] = {}
    rows = IssuerRule.objects.filter(issuer_id__in={one.claims["issuer_id"] for one in outside})
    for rule in rows.select_related("issuer", "client__team"):
        rules.setdefault(rule.issuer_id, []).append(rule)
    found = {}
    for one in outside:
        for rule in rules.get(one.claims["issuer_id"], []):
            if fits(rule, one.claims):
                found[one.digest] = _record(rule, one.claims)
                break
    return found


def fits(rule: IssuerRule, claims: Mapping[str, Any]) -> bool:
    """Whether the claim is, or contains, the rule's value. Names with dots are looked up whole
    first, since some issuers use addresses as names."""
    found: Any = claims.get(rule.claim)
    if found is None:
        found = claims
        for name in rule.claim.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
    if found is None:
        return False
    values = found if isinstance(found, list) else [found]
    return rule.value == ANY or rule.value in [v for v in values if isinstance(v, str)]


def _record(rule: IssuerRule, claims: Mapping[str, Any]) -> KeyRecord:
    client = rule.client
    return KeyRecord(
        key_id=0,
        client_id=client.pk,
        team_id=client.team_id,
        name=f"{rule.issuer.name}: {claims['sub']}"[:100],
        is_active=client.is_active and client.team.is_active,
        expires_at_s=float(claims["exp"]) + settings.CHATVAULT.tokens.leeway_s,
        kind="jwt",
        scopes=frozenset(rule.scopes) & MACHINE_SCOPES,
    )
