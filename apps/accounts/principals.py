"""Who asks the control plane: a person or a machine, and what they may do in which team."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from apps.accounts.roles import NOTHING, OF_INSTALLATION, Capability, of_roles, of_scopes
from apps.audit.acting import Actor

if TYPE_CHECKING:
    from apps.accounts.models import User

_EVERYTHING: Final = frozenset(Capability)


@dataclass(frozen=True)
class Principal:
    """One caller. `everywhere` holds in all teams, `in_teams` in one each."""

    kind: str  # person | key | jwt | oauth
    name: str
    everywhere: frozenset[Capability] = NOTHING
    in_teams: Mapping[int, frozenset[Capability]] = field(default_factory=dict)
    user_id: int | None = None
    client_id: int | None = None  # the client that a machine belongs to
    key_id: int | None = None

    is_authenticated = True  # as the REST framework asks of its users

    @property
    def is_owner(self) -> bool:
        """Whether everything is allowed in the whole installation."""
        return self.everywhere == _EVERYTHING

    @property
    def teams(self) -> frozenset[int] | None:
        """The ids of the teams with rows to see at all; None: something is held in all of them."""
        return None if self.everywhere else frozenset(self.in_teams)

    def may(self, capability: Capability, team_id: int | None = None) -> bool:
        """In the team that is named; without one: in the whole installation."""
        if capability in self.everywhere:
            return True
        return team_id is not None and capability in self.in_teams.get(team_id, NOTHING)

    def may_somewhere(self, capability: Capability) -> bool:
        return capability in self.everywhere or bool(self.teams_with(capability))

    def teams_with(self, capability: Capability) -> frozenset[int] | None:
        """The ids of the teams in which it holds; None: in all."""
        if capability in self.everywhere:
            return None
        return frozenset(team for team, held in self.in_teams.items() if capability in held)

    def holds_all(self, capabilities: Iterable[Capability], team_id: int | None = None) -> bool:
        """Nobody grants more than they have: asked before anything is granted."""
        return all(self.may(each, team_id) for each in capabilities)

    def narrowed_to(self, scopes: Iterable[str]) -> Principal:
        """The same caller by a token that may do less. No scopes: all that the caller may."""
        allowed = frozenset(scopes)
        if not allowed:
            return self
        return replace(
            self,
            everywhere=frozenset(each for each in self.everywhere if each.value in allowed),
            in_teams={
                team: frozenset(each for each in held if each.value in allowed)
                for team, held in self.in_teams.items()
            },
        )

    def as_actor(self, address: str | None = None) -> Actor:
        return Actor(self.kind, self.name, self.user_id, address)


OWNER: Final = Principal("system", "ChatVault", everywhere=_EVERYTHING)
"""For what is asked in nobody's name."""


def of_user(user: User) -> Principal:
    """What a person may do by the roles held now; somebody inactive may do nothing."""
    if not user.is_active:
        return Principal("person", user.get_username(), user_id=user.pk)
    if user.is_superuser:
        return Principal("person", user.get_username(), everywhere=_EVERYTHING, user_id=user.pk)
    roles: dict[int, list[str]] = {}
    memberships = user.memberships.filter(team__is_active=True)
    for team_id, role in memberships.values_list("team_id", "role"):
        roles.setdefault(team_id, []).append(role)
    installation = user.installation_roles.values_list("role", flat=True)
    return Principal(
        "person",
        user.get_username(),
        everywhere=of_roles(installation, in_team=False),
        in_teams={team_id: of_roles(names, in_team=True) for team_id, names in roles.items()},
        user_id=user.pk,
    )


def of_machine(
    kind: str,
    name: str,
    *,
    scopes: Iterable[str],
    team_id: int,
    client_id: int,
    key_id: int | None = None,
    user_id: int | None = None,
) -> Principal:
    """A key, a JWT or an OAuth token acts in the team of its client, within its scopes."""
    held = of_scopes(scopes) - OF_INSTALLATION
    return Principal(
        kind,
        name,
        in_teams={team_id: held},
        user_id=user_id,
        client_id=client_id,
        key_id=key_id,
    )
