"""Sessions of JWTs: begun by a person, carried on by refresh tokens, ended by either side."""

from __future__ import annotations

import hmac
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from rest_framework_simplejwt.exceptions import TokenError

from apps.accounts import principals
from apps.accounts.credentials import INFERENCE, KeyRecord, Question
from apps.accounts.jwt_tokens import AccessToken, RefreshToken
from apps.accounts.models import Client, TokenSession, User
from apps.accounts.roles import Capability
from apps.accounts.tokens import OWN
from apps.audit import acting, trail
from apps.configuration import announce
from chatvault.lib import clock
from chatvault.lib.errors import Forbidden, InvalidField, Unauthenticated
from chatvault.lib.redact import Secret

HOLDER: Final = "accounts.holder"
REUSED: Final = "refresh token used twice"


@dataclass(frozen=True)
class Pair:
    """What a client is given; shown once."""

    access: Secret
    refresh: Secret
    session: TokenSession
    expires_in_s: int


@transaction.atomic
def begin(
    *,
    user: User,
    client: Client | None,
    scopes: Iterable[str] = (),
    name: str = "",
) -> Pair:
    """A first pair of tokens. Raises InvalidField for scopes that there are not, and Forbidden
    for what the person may not do: call models for this client, or use a scope."""
    wanted = sorted(set(scopes))
    _check(user, client, wanted)
    now = clock.now()
    session = TokenSession(
        sid=secrets.token_hex(16),
        user=user,
        client=client,
        name=name,
        scopes=wanted,
        expires_at=now + timedelta(seconds=settings.CHATVAULT.tokens.refresh_lifetime_s),
        address=acting.current().address,
    )
    pair = _issue(session)
    session.save(force_insert=True)
    trail.record(
        "jwt.session_begun",
        target=session,
        team_id=client.team_id if client else None,
        after={"client": client.name if client else None, "scopes": wanted},
    )
    return pair


def refresh(*, token: str) -> Pair:
    """The next pair for a refresh token that was not used before.

    Raises Unauthenticated. A refresh token that is used twice was copied: the whole session ends
    (RFC 9700 §4.14.2).
    """
    try:
        claims = RefreshToken(token).payload  # type: ignore[arg-type]
    except TokenError:
        raise Unauthenticated(_REFUSED) from None
    pair = _next(str(claims.get("sid")), str(claims["jti"]))
    if pair is None:
        raise Unauthenticated(_REFUSED)
    return pair


_REFUSED: Final = "The refresh token is not valid. Sign in again."


@transaction.atomic
def _next(sid: str, jti: str) -> Pair | None:
    """Under the session's lock, so that of two that show the same token one is the second."""
    session = (
        TokenSession.objects.select_for_update(of=("self",))
        .select_related("user", "client__team")
        .filter(sid=sid)
        .live(clock.now())
        .first()
    )
    if session is None or not session.user.is_active:
        return None
    if not hmac.compare_digest(session.refresh_jti, jti):
        _end([session], REUSED)
        return None
    now = clock.now()
    tokens = settings.CHATVAULT.tokens
    last = session.created_at + timedelta(seconds=tokens.session_lifetime_s)
    session.expires_at = min(now + timedelta(seconds=tokens.refresh_lifetime_s), last)
    session.refreshed_at = now
    pair = _issue(session)
    session.save(update_fields=["expires_at", "refreshed_at", "refresh_jti"])
    return pair


def revoke_token(*, token: str, user_id: int | None = None) -> bool:
    """End the session of an access or refresh token; False: it is none of ours, or of another
    person (RFC 7009 §2.2 answers both alike)."""
    for kind in (RefreshToken, AccessToken):
        try:
            sid = str(kind(token).payload.get("sid"))  # type: ignore[arg-type]
        except TokenError:
            continue
        sessions = TokenSession.objects.filter(sid=sid)
        if user_id is not None:
            sessions = sessions.filter(user_id=user_id)
        return end_sessions(sessions=sessions, why="revoked by its holder") > 0
    return False


@transaction.atomic
def end_sessions(*, sessions: QuerySet[TokenSession], why: str) -> int:
    """Their tokens are refused from now on. How many sessions were live."""
    chosen = list(
        sessions.filter(revoked_at=None).select_for_update(of=("self",)).select_related("user")
    )
    _end(chosen, why)
    return len(chosen)


def _end(sessions: Sequence[TokenSession], why: str) -> None:
    ids = [session.pk for session in sessions]
    TokenSession.objects.filter(pk__in=ids).update(revoked_at=clock.now(), ended_because=why)
    for session in sessions:
        trail.record("jwt.session_ended", target=session, after={"why": why})
        announce.after_commit(HOLDER, f"session:{session.pk}")


def find_sessions(questions: Sequence[Question]) -> Mapping[str, KeyRecord]:
    """Who holds JWTs of ours, for gateways and the API; outside issuers have their own finder."""
    asked: dict[str, list[Question]] = defaultdict(list)
    for one in questions:
        if one.claims.get("issuer_id") == OWN and one.claims.get("token_type") == "access":
            asked[str(one.claims.get("sid"))].append(one)
    rows = (
        TokenSession.objects.filter(sid__in=asked, user__is_active=True)
        .live(clock.now())
        .select_related("user", "client__team")
    )
    found = {}
    for row in rows:
        held = _held_by(row)
        found.update({one.digest: _record(row, one.claims, held) for one in asked[row.sid]})
    return found


def _record(row: TokenSession, claims: Mapping[str, Any], held: frozenset[str]) -> KeyRecord:
    client = row.client
    return KeyRecord(
        key_id=0,
        client_id=client.pk if client else 0,
        team_id=client.team_id if client else 0,
        name=f"JWT of {row.user.get_username()}",
        is_active=client is None or (client.is_active and client.team.is_active),
        expires_at_s=float(claims["exp"]) + settings.CHATVAULT.tokens.leeway_s,
        kind="jwt",
        scopes=held,
        user_id=row.user_id,
        session_id=row.pk,
    )


def _held_by(row: TokenSession) -> frozenset[str]:
    """What the session may do: its scopes, as far as the person may still do so somewhere;
    models are called for the client of the session alone."""
    who = principals.of_user(row.user).narrowed_to(row.scopes)
    team_id = row.client.team_id if row.client else None
    held = {each.value for each in Capability if who.may_somewhere(each)} - {INFERENCE}
    return frozenset(held | {INFERENCE} if who.may(Capability.INFERENCE, team_id) else held)


def _check(user: User, client: Client | None, scopes: Sequence[str]) -> None:
    for name in scopes:
        if name not in list(Capability):
            raise InvalidField(f"There is no scope {name!r}.", param="scopes")
    who = principals.of_user(user)
    team_id = client.team_id if client else None
    if client is not None and not who.may(Capability.INFERENCE, team_id):
        raise Forbidden("You may not call models for this client.", param="client")
    for name in scopes:
        if not who.may_somewhere(Capability(name)):
            raise Forbidden(f"You may not use the scope {name!r}.", param="scopes")


def _issue(session: TokenSession) -> Pair:
    access, following = AccessToken(), RefreshToken()
    for token in (access, following):
        token["sub"] = f"user:{session.user_id}"
        token["sid"] = session.sid
    if session.scopes:
        access["scope"] = " ".join(session.scopes)  # RFC 9068 §2.2.3
    if session.client is not None:
        access["client_id"] = session.client.name
    limit = int(session.expires_at.timestamp())
    for token in (access, following):
        token["exp"] = min(int(token["exp"]), limit)
    session.refresh_jti = following["jti"]
    left = int(access["exp"]) - int(access["iat"])
    return Pair(Secret(str(access)), Secret(str(following)), session, left)
