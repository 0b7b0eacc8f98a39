"""Links with which one person may come, once."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string

from apps.accounts import people, permissions, principals
from apps.accounts.errors import NotYoursToGive
from apps.accounts.models import Team, User
from apps.audit import trail
from apps.sign_in.errors import SignInRefused
from apps.sign_in.models import Invitation
from chatvault.lib import clock


@transaction.atomic
def invite(
    *, by: User, role: str, team: Team | None, email: str = "", life: timedelta | None = None
) -> tuple[Invitation, str]:
    """The invitation, and its token, which is shown now and never again. Raises NotYoursToGive."""
    if not people.may_give(permissions.principal_of(by), role, team):
        raise NotYoursToGive
    token = secrets.token_urlsafe(32)
    lasts = life or timedelta(hours=settings.CHATVAULT.sign_in.invitation_life_h)
    invitation = Invitation.objects.create(
        digest=_digest(token),
        email=email.strip(),
        role=role,
        team=team,
        invited_by=by,
        expires_at=clock.now() + lasts,
    )
    trail.record("invitation.made", target=invitation, after=_fields(invitation), **_of(team))
    return invitation, token


@transaction.atomic
def withdraw(*, invitation: Invitation) -> bool:
    open_ones = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, withdrawn_at=None)
    if not open_ones.update(withdrawn_at=clock.now()):
        return False
    trail.record("invitation.withdrawn", target=invitation, **_of(invitation.team))
    return True


def find_open(token: str) -> Invitation | None:
    found = Invitation.objects.select_related("team").filter(digest=_digest(token)).first()
    return found if found is not None and found.is_open(clock.now()) else None


def find_for_address(email: str) -> Invitation | None:
    """The newest one for an address that somebody trustworthy has verified."""
    rows = Invitation.objects.select_related("team").filter(
        email__iexact=email, accepted_at=None, withdrawn_at=None, expires_at__gt=clock.now()
    )
    return rows.order_by("-created_at").first() if email else None


@transaction.atomic
def accept(*, invitation: Invitation, user: User) -> None:
    """The person has the role. Raises SignInRefused: used up by now, or whoever invited may not
    give that role any more."""
    open_ones = Invitation.objects.filter(
        pk=invitation.pk, accepted_at=None, withdrawn_at=None, expires_at__gt=clock.now()
    )
    if not open_ones.update(accepted_at=clock.now(), accepted_by=user):
        raise SignInRefused("invitation", "This invitation was used already, or is over.")
    inviter = User.objects.filter(pk=invitation.invited_by_id or 0, is_active=True).first()
    who = principals.of_user(inviter) if inviter else None
    if who is None or not people.may_give(who, invitation.role, invitation.team):
        raise SignInRefused(
            "invitation",
            "Whoever invited you may not give that role any more: ask for a new invitation.",
        )
    people.give_role(user=user, role=invitation.role, team=invitation.team, by=who)
    trail.record(
        "invitation.accepted",
        target=invitation,
        after={"by": user.get_username()},
        **_of(invitation.team),
    )


def mail(*, invitation: Invitation, url: str) -> None:
    """Raises OSError (smtplib's errors are some) when it cannot be handed over."""
    text = render_to_string("sign_in/mail/invitation.txt", {"url": url, "invitation": invitation})
    send_mail("You are invited to ChatVault", text, None, [invitation.email])


def _of(team: Team | None) -> dict[str, Any]:
    return {"team_id": team.pk if team is not None else None}


def _fields(invitation: Invitation) -> dict[str, Any]:
    return {
        "email": invitation.email,
        "role": invitation.role,
        "team": invitation.team.name if invitation.team else "",
        "until": invitation.expires_at.isoformat(),
    }


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
