"""What is done to people: roles are given and taken, accounts switched on and off.

Nobody gives or takes more than they have, and the installation never loses its last owner. Every
verb is in the audit trail and makes all processes forget the person's credentials. `by` is whose
capabilities count; None is ChatVault itself, which does what an owner told it to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db import transaction

from apps.accounts import errors, permissions
from apps.accounts.models import InstallationRole, Membership, Team, User
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability, Role, of_roles
from apps.audit import trail
from apps.configuration import announce
from chatvault.lib.writer import hold_writer

TOPIC: Final = "accounts.holder"
_ROLES: Final = frozenset(role.value for role in Role)
_locked_out: Final[list[Callable[[User], None]]] = []


def when_locked_out(do: Callable[[User], None]) -> None:
    """What an app above does, in the same transaction, when somebody is disabled or somebody else
    has set their password."""
    _locked_out.append(do)


@transaction.atomic
def password_was_set(*, user: User) -> None:
    """By somebody else: whoever knew the old one is out."""
    trail.record("password.set", target=user)
    _lock_out(user)
    changed(user)


def _lock_out(user: User) -> None:
    for do in _locked_out:
        do(user)


def may_give(who: Principal, role: str, team: Team | None) -> bool:
    """Whether this role is theirs to give and take: they manage people there, and hold all that
    the role allows."""
    if role not in _ROLES:
        return False
    if team is None:
        manages = who.may(Capability.PEOPLE_WRITE)
        return manages and who.holds_all(of_roles([role], in_team=False))
    manages = who.may(Capability.TEAMS_WRITE, team.pk)
    return manages and who.holds_all(of_roles([role], in_team=True), team.pk)


def roles_to_give(who: Principal, team: Team | None) -> list[str]:
    return [role.value for role in Role if may_give(who, role.value, team)]


@transaction.atomic
def give_role(*, user: User, role: str, team: Team | None = None, by: Principal | None) -> bool:
    """In a team a person has one role: another one is replaced. Whether anything changed.

    Raises NotYoursToGive, or LastOwner when the person would cease to be the last one.
    """
    hold_writer()
    _check(by, role, team)
    if team is None:
        return _give_everywhere(user, role)
    before = Membership.objects.filter(user=user, team=team).first()
    if before is not None:
        if before.role == role:
            return False
        _check(by, before.role, team)
        was = before.role
        before.role = role
        before.save(update_fields=["role"])
        _told("role.changed", user, team, {"role": was}, {"role": role})
        return True
    Membership.objects.create(user=user, team=team, role=role)
    _told("role.given", user, team, {}, {"role": role})
    return True


@transaction.atomic
def take_role(*, user: User, role: str, team: Team | None = None, by: Principal | None) -> bool:
    """Whether the person had it. Raises NotYoursToGive or LastOwner."""
    hold_writer()
    _check(by, role, team)
    if team is not None:
        rows: Any = Membership.objects.filter(user=user, team=team, role=role)
    elif role == Role.OWNER:
        return _take_ownership(user)
    else:
        rows = InstallationRole.objects.filter(user=user, role=role)
    count, _ = rows.delete()
    if count:
        _told("role.taken", user, team, {"role": role}, {})
    return bool(count)


@transaction.atomic
def disable_user(*, user: User, by: Principal | None) -> bool:
    """Sessions, tokens and roles of the person open nothing. Raises NotYoursToGive or LastOwner."""
    hold_writer()
    _check_over(by, user)
    _keep_an_owner(user)
    if not User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
        return False
    user.is_active = False
    _lock_out(user)
    _told("user.disabled", user, None, {"is_active": True}, {"is_active": False})
    return True


@transaction.atomic
def enable_user(*, user: User, by: Principal | None) -> bool:
    """The person's roles hold again. Raises NotYoursToGive."""
    hold_writer()
    _check_over(by, user)
    if not User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        return False
    user.is_active = True
    _told("user.enabled", user, None, {"is_active": False}, {"is_active": True})
    return True


@transaction.atomic
def delete_user(*, user: User, by: Principal | None) -> None:
    """Raises NotYoursToGive or LastOwner."""
    hold_writer()
    _check_over(by, user)
    _keep_an_owner(user)
    _told("user.deleted", user, None, {"username": user.username}, {})
    user.delete()


def changed(user: User) -> None:
    """Every process forgets what it knows of the person's credentials."""
    permissions.forget(user)
    announce.after_commit(TOPIC, f"user:{user.pk}")


def find_person(text: str) -> User:
    """By the exact user name or e-mail address; never by a part of one. Raises NoSuchPerson."""
    given = text.strip()
    found = list(User.objects.filter(username=given)[:1])
    if not found and "@" in given:
        found = list(User.objects.filter(email__iexact=given)[:2])
    if len(found) != 1:
        raise errors.NoSuchPerson
    return found[0]


def is_last_owner(user: User) -> bool:
    """Whether nobody could manage the installation without this person."""
    if not (user.is_superuser and user.is_active):
        return False
    owners = User.objects.filter(is_superuser=True, is_active=True)
    return not owners.exclude(pk=user.pk).exists()


def _give_everywhere(user: User, role: str) -> bool:
    if role == Role.OWNER:
        if not User.objects.filter(pk=user.pk, is_superuser=False).update(is_superuser=True):
            return False
        user.is_superuser = True
    else:
        _, is_new = InstallationRole.objects.get_or_create(user=user, role=role)
        if not is_new:
            return False
    _told("role.given", user, None, {}, {"role": role})
    return True


def _take_ownership(user: User) -> bool:
    _keep_an_owner(user)
    if not User.objects.filter(pk=user.pk, is_superuser=True).update(is_superuser=False):
        return False
    user.is_superuser = False
    _told("role.taken", user, None, {"role": Role.OWNER.value}, {})
    return True


def _check(by: Principal | None, role: str, team: Team | None) -> None:
    if role not in _ROLES or not (by is None or may_give(by, role, team)):
        raise errors.NotYoursToGive


def _check_over(by: Principal | None, user: User) -> None:
    """Nobody switches off somebody who may do more."""
    if by is None:
        return
    above = frozenset(Capability) if user.is_superuser else _everywhere(user)
    if not (by.may(Capability.PEOPLE_WRITE) and by.holds_all(above)):
        raise errors.NotYoursToGive


def _everywhere(user: User) -> frozenset[Capability]:
    """Also of somebody who is switched off."""
    held = user.installation_roles.values_list("role", flat=True)
    return of_roles(held, in_team=False)


def _keep_an_owner(user: User) -> None:
    if is_last_owner(User.objects.get(pk=user.pk)):
        raise errors.LastOwner


def _told(
    action: str, user: User, team: Team | None, before: dict[str, Any], after: dict[str, Any]
) -> None:
    where = {"team": team.name} if team is not None else {}
    trail.record(
        action,
        target=user,
        before=before | (where if before else {}),
        after=after | (where if after else {}),
        team_id=team.pk if team is not None else None,
    )
    changed(user)
