"""Who somebody from outside is here, and whether they are let in."""

from __future__ import annotations

import re
from typing import Final

from django.db import IntegrityError, transaction

from apps.accounts import people
from apps.accounts.models import User
from apps.audit import trail
from apps.sign_in import invitations, mapping
from apps.sign_in.errors import SignInRefused
from apps.sign_in.models import IdentityProvider, Invitation, OutsideIdentity
from apps.sign_in.outside.flow import Claimed
from chatvault.lib import clock
from chatvault.lib.writer import hold_writer

_UNFIT: Final = re.compile(r"[^\w.@+-]")


@transaction.atomic
def admit(
    *, provider: IdentityProvider, claimed: Claimed, invitation: Invitation | None = None
) -> User:
    """The account of whom the provider has named. Raises SignInRefused."""
    hold_writer()
    if not provider.is_active:
        raise SignInRefused("provider_off", "This provider signs nobody in any more.")
    _check_domain(provider, claimed)
    known = _identity(provider, claimed)
    user = known.user if known is not None else _newcomer(provider, claimed, invitation)
    if not user.is_active:
        raise SignInRefused("inactive", "Your account is switched off: ask an owner.")
    if known is not None and invitation is not None:
        _accept(invitation, claimed, user)
    OutsideIdentity.objects.filter(provider=provider, subject=claimed.subject).update(
        used_at=clock.now(), email=claimed.email
    )
    mapping.apply(user=user, provider=provider, claims=claimed.claims)
    return user


@transaction.atomic
def link(*, provider: IdentityProvider, claimed: Claimed, user: User) -> None:
    """By the person, who is signed in. Raises SignInRefused."""
    hold_writer()
    _check_domain(provider, claimed)
    known = _identity(provider, claimed)
    if known is not None and known.user_id != user.pk:
        raise SignInRefused("taken", "That identity belongs to another account here.")
    if known is None:
        _connect(provider, claimed, user, "identity.linked")


@transaction.atomic
def unlink(*, identity: OutsideIdentity) -> None:
    """Raises SignInRefused when the person could not come in any more."""
    user = identity.user
    others = OutsideIdentity.objects.filter(user=user).exclude(pk=identity.pk)
    if not user.has_usable_password() and not others.exists():
        raise SignInRefused("last", "It is the only way in which you can sign in.")
    trail.record("identity.unlinked", target=user, before={"provider": identity.provider.name})
    identity.delete()


def _newcomer(provider: IdentityProvider, claimed: Claimed, invitation: Invitation | None) -> User:
    if invitation is not None:
        user = _create(claimed)
        _connect(provider, claimed, user, "identity.created")
        _accept(invitation, claimed, user)
        return user
    if (existing := _of_same_address(provider, claimed)) is not None:
        _connect(provider, claimed, existing, "identity.linked_by_email")
        return existing
    waiting = invitations.find_for_address(claimed.email) if claimed.is_verified else None
    if waiting is None and provider.first_login != IdentityProvider.FirstLogin.TEAM:
        raise SignInRefused(
            "not_invited",
            "The provider knows you, but nobody has invited you here. If you have an account "
            "here already, sign in to it first and link the provider on the page of your account.",
        )
    user = _create(claimed)
    _connect(provider, claimed, user, "identity.created")
    if waiting is not None:
        invitations.accept(invitation=waiting, user=user)
    else:
        role, team = provider.default_role, provider.default_team
        people.give_role(user=user, role=role, team=team, by=None)
    return user


def _accept(invitation: Invitation, claimed: Claimed, user: User) -> None:
    is_theirs = claimed.is_verified and claimed.email.casefold() == invitation.email.casefold()
    if invitation.email and not is_theirs:
        raise SignInRefused(
            "other_address", "The invitation is for another address than the provider has verified."
        )
    invitations.accept(invitation=invitation, user=user)


def _check_domain(provider: IdentityProvider, claimed: Claimed) -> None:
    """An address that is not verified is anybody's, so it opens no domain."""
    if not provider.domains:
        return
    domain = claimed.email.rpartition("@")[2].lower()
    if not claimed.is_verified:
        raise SignInRefused("unverified", "The provider has not verified your e-mail address.")
    if domain not in provider.domains:
        raise SignInRefused("domain", "Your e-mail domain is not let in with this provider.")


def _identity(provider: IdentityProvider, claimed: Claimed) -> OutsideIdentity | None:
    rows = OutsideIdentity.objects.select_related("user")
    return rows.filter(provider=provider, subject=claimed.subject).first()


def _of_same_address(provider: IdentityProvider, claimed: Claimed) -> User | None:
    """Only where an owner has said so, and only one account."""
    if not provider.links_by_email or not claimed.is_verified:
        return None
    found = list(User.objects.filter(email__iexact=claimed.email)[:2])
    return found[0] if len(found) == 1 else None


def _create(claimed: Claimed) -> User:
    wanted = claimed.username or claimed.email.partition("@")[0] or "person"
    base = _UNFIT.sub("-", wanted)[:140] or "person"
    first, _, last = claimed.name.partition(" ")
    for number in range(1, 1000):
        name = base if number == 1 else f"{base}-{number}"
        if User.objects.filter(username__iexact=name).exists():
            continue
        user = User(username=name, first_name=first[:150], last_name=last[:150])
        user.email = claimed.email if claimed.is_verified else ""
        user.set_unusable_password()
        user.save()
        return user
    raise SignInRefused("name", "There are too many people of your name here: ask an owner.")


def _connect(provider: IdentityProvider, claimed: Claimed, user: User, action: str) -> None:
    try:
        with transaction.atomic():
            OutsideIdentity.objects.create(
                provider=provider, subject=claimed.subject, user=user, email=claimed.email
            )
    except IntegrityError:
        raise SignInRefused("race", "You signed in twice at once. Please begin anew.") from None
    trail.record(action, target=user, after={"provider": provider.name, "email": claimed.email})
