"""The table of capabilities in words, and what of it one person has, where and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from apps.accounts import permissions
from apps.accounts.models import InstallationRole, Membership, User
from apps.accounts.principals import Principal
from apps.accounts.roles import (
    CAPABILITIES,
    MEANINGS,
    OF_INSTALLATION,
    ROLE_NAMES,
    ROLES_IN_WORDS,
    Capability,
    Role,
)


@dataclass(frozen=True)
class Held:
    """A capability and the roles that give it."""

    capability: str
    meaning: str
    because_of: str


@dataclass(frozen=True)
class Place:
    """A team, or the whole installation, and what is held there."""

    name: str
    note: str
    held: list[Held]


def name_of(role: str) -> str:
    return ROLE_NAMES[Role(role)]


def table() -> dict[str, Any]:
    """For the page and the documentation: a row a capability, a column a role."""
    return {
        "roles": [(name_of(role), ROLES_IN_WORDS[role]) for role in Role],
        "rows": [
            {
                "name": each.value,
                "meaning": MEANINGS[each],
                "is_of_installation": each in OF_INSTALLATION,
                "held": [each in CAPABILITIES[role] for role in Role],
            }
            for each in Capability
        ],
    }


def of_person(user: User, viewer: Principal) -> list[Place]:
    """As far as the viewer may know: places in teams that the viewer does not see are left out."""
    found = []
    seen_roles = permissions.limit(InstallationRole.objects.filter(user=user), viewer)
    everywhere = [row.role for row in seen_roles]
    if user.is_superuser and viewer.may(Capability.PEOPLE_READ):
        everywhere.append(Role.OWNER)
    if everywhere:
        found.append(_place("The whole installation", user, everywhere, in_team=False))
    rows = permissions.limit(Membership.objects.filter(user=user), viewer)
    for row in rows.select_related("team").order_by("team__name"):
        note = "" if row.team.is_active else "The team is inactive: nothing of this holds now."
        found.append(_place(row.team.name, user, [row.role], in_team=True, note=note))
    return found


def _place(name: str, user: User, roles: Iterable[str], *, in_team: bool, note: str = "") -> Place:
    if not user.is_active:
        note = "The account is disabled: nothing of this holds now."
    held = []
    for each in Capability:
        if in_team and each in OF_INSTALLATION:
            continue
        by = [name_of(role) for role in roles if each in CAPABILITIES[Role(role)]]
        if by:
            held.append(Held(each.value, MEANINGS[each], ", ".join(by)))
    return Place(name, note, held)
