"""Roles that follow from what a provider says of a person, given and taken at each sign-in.

What was given by hand stays: in a team in which somebody has a role by hand no rule changes it,
and a mapped role that somebody changed by hand is theirs from then on.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.accounts import people
from apps.accounts.errors import AccountsError
from apps.accounts.models import InstallationRole, Membership, Team, User
from apps.accounts.roles import Role
from apps.sign_in.models import IdentityProvider, MappedRole


@transaction.atomic
def apply(*, user: User, provider: IdentityProvider, claims: dict[str, Any]) -> None:
    """Afterwards the person has the roles of the rules that fit, and none of those that do not."""
    wanted = _wanted(provider, claims)
    for mapped in MappedRole.objects.filter(user=user, provider=provider).select_related("team"):
        key = (mapped.team_id, mapped.role)
        if not _is_held(user, mapped):
            mapped.delete()  # somebody decided otherwise by hand
        elif key not in wanted:
            _take(user, mapped)
    for (team_id, role), team in wanted.items():
        _give(user, provider, team_id, role, team)


@transaction.atomic
def take_all(*, provider: IdentityProvider) -> None:
    """The provider goes: what it gave goes with it."""
    for mapped in MappedRole.objects.filter(provider=provider).select_related("user", "team"):
        _take(mapped.user, mapped)


def _wanted(
    provider: IdentityProvider, claims: dict[str, Any]
) -> dict[tuple[int | None, str], Team | None]:
    found: dict[tuple[int | None, str], Team | None] = {}
    decided: set[int] = set()
    for rule in provider.rules.select_related("team"):
        if not rule.fits(claims) or rule.team_id in decided:
            continue
        if rule.team_id is not None:
            decided.add(rule.team_id)  # in one team a person has one role
        found[rule.team_id, rule.role] = rule.team
    return found


def _is_held(user: User, mapped: MappedRole) -> bool:
    if mapped.team_id is not None:
        return Membership.objects.filter(
            user=user, team_id=mapped.team_id, role=mapped.role
        ).exists()
    return _has_everywhere(user, mapped.role)


def _has_everywhere(user: User, role: str) -> bool:
    if role == Role.OWNER:
        return user.is_superuser
    return InstallationRole.objects.filter(user=user, role=role).exists()


def _take(user: User, mapped: MappedRole) -> None:
    try:
        people.take_role(user=user, role=mapped.role, team=mapped.team, by=None)
    except AccountsError:  # the last owner stays one
        return
    mapped.delete()


def _give(
    user: User, provider: IdentityProvider, team_id: int | None, role: str, team: Team | None
) -> None:
    if team is not None:
        if Membership.objects.filter(user=user, team=team).exists():
            return
    elif _has_everywhere(user, role):
        return
    people.give_role(user=user, role=role, team=team, by=None)
    MappedRole.objects.create(user=user, provider=provider, team_id=team_id, role=role)
