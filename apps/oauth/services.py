"""What is done to applications, to what they hold, and to initial access tokens.

Every verb is in the audit trail, and makes all processes forget the tokens that it concerns. `by`
is whose capabilities count: nobody lets an application do more than they may do themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from oauth2_provider.generators import generate_client_secret

from apps.accounts import credentials
from apps.accounts.models import Client, User
from apps.accounts.principals import Principal
from apps.audit import trail
from apps.configuration import announce
from apps.oauth import scopes as offered
from apps.oauth.generators import INITIAL_PREFIX, digest
from apps.oauth.models import AccessToken, Application, InitialAccessToken, RefreshToken
from chatvault.lib import clock
from chatvault.lib.redact import Secret
from chatvault.lib.writer import hold_writer

HOLDER: Final = "accounts.holder"
TOLD: Final = (
    "name", "description", "homepage", "authorization_grant_type", "client_type",
    "redirect_uris", "scopes", "is_active", "payer_id",
)  # fmt: skip


@dataclass(frozen=True)
class Issued:
    """An application and its secret, which exists nowhere else: show it once."""

    application: Application
    secret: Secret | None


def state_of(application: Application) -> dict[str, Any]:
    """What the audit trail tells of an application."""
    return {name: getattr(application, name) for name in TOLD}


def check_scopes(who: Principal, asked: Iterable[str], payer: Client) -> None:
    """Raises ValidationError for scopes that there are not, or that `who` may not give there."""
    for scope in asked:
        if scope not in offered.OFFERED:
            raise ValidationError({"scopes": f"There is no scope {scope}."})
        if not offered.may_give(who, scope, payer.team_id):
            raise ValidationError({"scopes": f"You may not give {scope} in {payer.team}."})


@transaction.atomic
def make_application(*, application: Application, user: User | None = None) -> Issued:
    """A new application from a row that is not saved. Raises ValidationError."""
    secret = generate_client_secret()
    application.user = user
    application.client_secret = secret
    application.hash_client_secret = True
    application.skip_authorization = False
    application.full_clean(exclude=["client_secret"])
    application.save(force_insert=True)
    trail.record(
        "oauth.application_made",
        target=application,
        team_id=application.team_id,
        after=state_of(application),
    )
    is_confidential = application.client_type == Application.CLIENT_CONFIDENTIAL
    return Issued(application, Secret(secret) if is_confidential else None)


@transaction.atomic
def change_application(*, application: Application, before: Mapping[str, Any]) -> None:
    """Save what was changed on the row. Raises ValidationError."""
    application.full_clean(exclude=["client_secret"])
    application.save()
    told_changed(application=application, before=before)


@transaction.atomic
def told_changed(*, application: Application, before: Mapping[str, Any]) -> None:
    """A row that was saved: tell it, and ask anew about its tokens."""
    after = state_of(application)
    changed = [name for name in TOLD if before[name] != after[name]]
    if not changed:
        return
    trail.record(
        "oauth.application_changed",
        target=application,
        team_id=application.team_id,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )
    announce.after_commit(HOLDER, f"application:{application.pk}")


@transaction.atomic
def rotate_secret(*, application: Application) -> Issued:
    """A new secret; the old one is refused from now on."""
    secret = generate_client_secret()
    application.client_secret = secret
    application.save(update_fields=["client_secret", "updated"])
    trail.record("oauth.secret_rotated", target=application, team_id=application.team_id)
    return Issued(application, Secret(secret))


@transaction.atomic
def switch_applications(*, applications: QuerySet[Application], is_active: bool) -> int:
    """Their tokens work, or are refused. How many applications changed."""
    hold_writer()
    chosen = list(applications.exclude(is_active=is_active).select_related("payer"))
    Application.objects.filter(pk__in=[one.pk for one in chosen]).update(is_active=is_active)
    for one in chosen:
        trail.record(
            "oauth.application_changed",
            target=one,
            team_id=one.team_id,
            before={"is_active": not is_active},
            after={"is_active": is_active},
        )
        announce.after_commit(HOLDER, f"application:{one.pk}")
    return len(chosen)


@transaction.atomic
def end_application(*, application: Application) -> None:
    """It and all that it holds are gone."""
    hold_writer()
    trail.record(
        "oauth.application_ended",
        target=application,
        team_id=application.team_id,
        before=state_of(application),
    )
    announce.after_commit(HOLDER, f"application:{application.pk}")
    application.delete()


@transaction.atomic
def revoke_grants(*, grants: QuerySet[RefreshToken], why: str) -> int:
    """The tokens of these consents are refused from now on. How many were live."""
    hold_writer()
    chosen = list(grants.filter(revoked=None).select_related("application__payer", "user"))
    for one in chosen:
        RefreshToken.revoke_family(one.token_family)
        one.revoke()
        _tell_revoked(one, why)
    return len(chosen)


@transaction.atomic
def revoke_access_tokens(*, tokens: QuerySet[AccessToken], why: str) -> int:
    """With the refresh tokens beside them, which would only bring new ones."""
    hold_writer()
    chosen = list(tokens.select_related("application__payer", "user"))
    for one in chosen:
        beside = RefreshToken.objects.filter(access_token=one).first()
        if beside is not None:
            RefreshToken.revoke_family(beside.token_family)
        else:
            one.revoke()
        _tell_revoked(one, why)
    return len(chosen)


def revoke_for_person(*, user: User, application: Application) -> int:
    """Whatever the person allowed the application ends."""
    grants = RefreshToken.objects.filter(user=user, application=application)
    ended = revoke_grants(grants=grants, why="revoked by the person")
    left = AccessToken.objects.filter(user=user, application=application)
    return ended + revoke_access_tokens(tokens=left, why="revoked by the person")


def _tell_revoked(row: Any, why: str) -> None:
    application = row.application
    trail.record(
        "oauth.revoked",
        target=application,
        team_id=application.team_id,
        after={"why": why, "person": row.user.get_username() if row.user else None},
    )


@transaction.atomic
def issue_initial_token(
    *,
    name: str,
    payer: Client,
    scopes: Iterable[str],
    expires_at: datetime,
    max_uses: int,
    user: User | None,
) -> tuple[InitialAccessToken, Secret]:
    """A token with which applications may register themselves; shown once."""
    secret = credentials.issue_secret(INITIAL_PREFIX)
    row = InitialAccessToken.objects.create(
        name=name,
        payer=payer,
        scopes=sorted(scopes),
        expires_at=expires_at,
        max_uses=max_uses,
        digest=digest(secret),
        hint=credentials.hint_of(secret),
        created_by=user,
    )
    trail.record(
        "oauth.initial_token_issued",
        target=row,
        team_id=payer.team_id,
        after={"scopes": row.scopes, "max_uses": max_uses, "expires_at": expires_at.isoformat()},
    )
    return row, Secret(secret)


@transaction.atomic
def revoke_initial_tokens(*, tokens: QuerySet[InitialAccessToken]) -> int:
    """Nobody registers with them any more; who did stays. How many changed."""
    chosen = list(tokens.filter(revoked_at=None).select_related("payer"))
    ids = [one.pk for one in chosen]
    InitialAccessToken.objects.filter(pk__in=ids).update(revoked_at=clock.now())
    for one in chosen:
        trail.record("oauth.initial_token_revoked", target=one, team_id=one.payer.team_id)
    return len(chosen)
