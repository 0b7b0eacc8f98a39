"""Who may do what: the one table that the admin, the API and every check read.

A capability is also a scope: keys, OAuth clients and JWTs carry names from the same list, so that
what a machine may do is said in the words in which people's roles are.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Capability(StrEnum):
    """What can be allowed. `…:read` is to see, `…:write` is to make, change and end."""

    INFERENCE = "inference"
    USAGE_READ = "usage:read"
    BILLING_READ = "billing:read"  # prices, tiers, budgets, ledger
    BILLING_WRITE = "billing:write"
    LIMITS_READ = "limits:read"  # quotas, rate limits, their use
    LIMITS_WRITE = "limits:write"
    ALERTS_READ = "alerts:read"  # alerts, their channels and deliveries; never secrets
    ALERTS_WRITE = "alerts:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    CLIENTS_READ = "clients:read"
    CLIENTS_WRITE = "clients:write"
    TEAMS_READ = "teams:read"  # the team itself and who is in it
    TEAMS_WRITE = "teams:write"
    PEOPLE_READ = "people:read"  # accounts of people, in all teams
    PEOPLE_WRITE = "people:write"
    PROVIDERS_READ = "providers:read"  # providers, deployments, aliases; never their secrets
    PROVIDERS_WRITE = "providers:write"
    CONFIG_READ = "config:read"  # revisions of the configuration
    CONFIG_WRITE = "config:write"
    OPERATIONS_READ = "operations:read"  # nodes, jobs, journal, errors
    OPERATIONS_WRITE = "operations:write"
    OAUTH_READ = "oauth:read"  # OAuth applications
    OAUTH_WRITE = "oauth:write"
    SIGN_IN_READ = "sign_in:read"  # outside identity providers, sessions, lockouts
    SIGN_IN_WRITE = "sign_in:write"
    AUDIT_READ = "audit:read"


class Role(StrEnum):
    """What a person is, in one team or in the whole installation."""

    VIEWER = "viewer"
    MEMBER = "member"
    TEAM_ADMIN = "admin"
    BILLING_ADMIN = "billing_admin"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    OWNER = "owner"


C = Capability
_VIEWER = {C.USAGE_READ, C.LIMITS_READ, C.CLIENTS_READ, C.TEAMS_READ}
_MEMBER = _VIEWER | {C.INFERENCE, C.KEYS_READ, C.BILLING_READ, C.ALERTS_READ}
_TEAM_ADMIN = _MEMBER | {
    C.KEYS_WRITE,
    C.CLIENTS_WRITE,
    C.TEAMS_WRITE,
    C.LIMITS_WRITE,
    C.ALERTS_WRITE,
    C.OAUTH_READ,
    C.OAUTH_WRITE,
}
_BILLING_ADMIN = _VIEWER | {
    C.KEYS_READ,
    C.BILLING_READ,
    C.BILLING_WRITE,
    C.LIMITS_WRITE,
    C.ALERTS_READ,
    C.ALERTS_WRITE,
}
_OPERATOR = _VIEWER | {
    C.KEYS_READ,
    C.PROVIDERS_READ,
    C.PROVIDERS_WRITE,
    C.OPERATIONS_READ,
    C.OPERATIONS_WRITE,
    C.LIMITS_WRITE,
    C.ALERTS_READ,
    C.ALERTS_WRITE,
    C.CONFIG_READ,
}
_AUDITOR = {each for each in C if each.endswith(":read")}
CAPABILITIES: Final[dict[Role, frozenset[Capability]]] = {
    Role.VIEWER: frozenset(_VIEWER),
    Role.MEMBER: frozenset(_MEMBER),
    Role.TEAM_ADMIN: frozenset(_TEAM_ADMIN),
    Role.BILLING_ADMIN: frozenset(_BILLING_ADMIN),
    Role.OPERATOR: frozenset(_OPERATOR),
    Role.AUDITOR: frozenset(_AUDITOR),
    Role.OWNER: frozenset(C),
}
NOTHING: Final[frozenset[Capability]] = frozenset()
_BY_NAME: Final = {role.value: held for role, held in CAPABILITIES.items()}
OF_INSTALLATION: Final = frozenset(
    {
        C.PEOPLE_READ,
        C.PEOPLE_WRITE,
        C.PROVIDERS_READ,
        C.PROVIDERS_WRITE,
        C.CONFIG_READ,
        C.CONFIG_WRITE,
        C.OPERATIONS_READ,
        C.OPERATIONS_WRITE,
        C.SIGN_IN_READ,
        C.SIGN_IN_WRITE,
        C.AUDIT_READ,
    }
)
"""Capabilities that concern what no team owns: a role in one team does not give them."""

ROLE_NAMES: Final[dict[Role, str]] = {
    Role.VIEWER: "viewer",
    Role.MEMBER: "member",
    Role.TEAM_ADMIN: "team admin",
    Role.BILLING_ADMIN: "billing admin",
    Role.OPERATOR: "operator",
    Role.AUDITOR: "auditor",
    Role.OWNER: "owner",
}
ROLES_IN_WORDS: Final[dict[Role, str]] = {
    Role.VIEWER: "Sees use, limits, clients and members.",
    Role.MEMBER: "Calls models, and sees keys, budgets and the ledger.",
    Role.TEAM_ADMIN: "Manages clients, keys, members, OAuth applications and limits within a team.",
    Role.BILLING_ADMIN: "Manages budgets and limits; for the whole installation prices as well.",
    Role.OPERATOR: "Manages limits; for the whole installation providers, nodes and jobs.",
    Role.AUDITOR: "Sees everything and changes nothing.",
    Role.OWNER: "May do everything there.",
}
MEANINGS: Final[dict[Capability, str]] = {
    C.INFERENCE: "Call models",
    C.USAGE_READ: "See requests, errors and what was used",
    C.BILLING_READ: "See budgets and the ledger; for the whole installation prices and tiers",
    C.BILLING_WRITE: "Change budgets; for the whole installation prices and tiers",
    C.LIMITS_READ: "See quotas and how much of them is used",
    C.LIMITS_WRITE: "Change quotas; those on a team itself for the whole installation only",
    C.ALERTS_READ: "See alerts, where they go and whether they arrived",
    C.ALERTS_WRITE: "Make, change, test and delete channels of alerts, and send again",
    C.KEYS_READ: "See keys, never their secrets",
    C.KEYS_WRITE: "Issue, change and revoke keys",
    C.CLIENTS_READ: "See clients",
    C.CLIENTS_WRITE: "Make, change and suspend clients",
    C.TEAMS_READ: "See teams and who is in them",
    C.TEAMS_WRITE: "Change a team and give roles in it; make teams for the whole installation only",
    C.PEOPLE_READ: "See everybody's account and roles in the installation",
    C.PEOPLE_WRITE: "Make, change and disable accounts; give roles in the installation",
    C.PROVIDERS_READ: "See providers, deployments and aliases, never secrets",
    C.PROVIDERS_WRITE: "Change providers, credentials, deployments and aliases",
    C.CONFIG_READ: "See revisions of the configuration",
    C.CONFIG_WRITE: "Apply a configuration document or go back to a revision",
    C.OPERATIONS_READ: "See nodes, jobs and the journal",
    C.OPERATIONS_WRITE: "Run jobs, set their times, give up nodes, settle errors",
    C.OAUTH_READ: "See OAuth applications",
    C.OAUTH_WRITE: "Make, change and end OAuth applications",
    C.SIGN_IN_READ: "See outside identity providers, sessions and lockouts",
    C.SIGN_IN_WRITE: "Change outside identity providers, end sessions and lockouts",
    C.AUDIT_READ: "See the audit trail",
}

ADMIN_SCOPE: Final = "admin"
"""On a key: what an admin of the key's own team may do, short of OAuth applications."""

OF_ADMIN_SCOPE: Final = CAPABILITIES[Role.TEAM_ADMIN] - {C.OAUTH_READ, C.OAUTH_WRITE}
MACHINE_SCOPES: Final = frozenset({ADMIN_SCOPE, *(C(each) for each in OF_ADMIN_SCOPE)})
"""What a key, an OAuth client or a JWT can be given."""


def of_roles(roles: Iterable[str], *, in_team: bool) -> frozenset[Capability]:
    """What the roles allow together; names that are no roles allow nothing."""
    found: set[Capability] = set()
    for name in roles:
        found |= _BY_NAME.get(name, NOTHING)
    return frozenset(found - OF_INSTALLATION if in_team else found)


def of_scopes(scopes: Iterable[str]) -> frozenset[Capability]:
    """What the scopes of a machine allow; unknown ones allow nothing."""
    found: set[Capability] = set()
    for name in scopes:
        if name == ADMIN_SCOPE:
            found |= OF_ADMIN_SCOPE
        elif name in MACHINE_SCOPES:
            found.add(Capability(name))
    return frozenset(found)
