"""Who needs a second factor, and who has one."""

from __future__ import annotations

from typing import Final

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction

from apps.accounts import principals
from apps.accounts.models import User
from apps.audit import trail
from apps.sign_in import attempt, codes

_FACTORS: Final = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def is_demanded() -> bool:
    """Whether those who may change something need one in this installation."""
    sections = settings.CHATVAULT
    return bool(sections.sign_in.needs_second_factor(sections.core))


def has_one(user: User) -> bool:
    return Authenticator.objects.filter(user=user, type__in=_FACTORS).exists()


def must_enrol(user: User) -> bool:
    """Whether nothing else is open to this person before a second factor is set up."""
    return is_demanded() and not has_one(user) and may_change_something(user)


def may_change_something(user: User) -> bool:
    if user.is_superuser or user.is_staff:
        return True
    who = principals.of_user(user)
    held = who.everywhere.union(*who.in_teams.values())
    return any(each.endswith(":write") for each in held)


@transaction.atomic
def remove_all(*, user: User) -> int:
    """Help for who lost the device: the next sign-in asks for none, or for a new one."""
    count, _ = Authenticator.objects.filter(user=user).delete()
    trail.record("second_factor.reset", target=user, before={"removed": count})
    return count


def is_right(user: User, code: str) -> bool:
    """For whoever asks for a token by password: the code is used up. Without a second factor
    there is nothing to ask, unless the person must have one."""
    if not has_one(user):
        return not must_enrol(user)
    found = attempt.by_second_factor(
        user=user, address=attempt.address_of(None), prove=lambda: codes.use(user, code)
    )
    return found is not None
