"""Whose usage somebody may see."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.usage.reports.query import Scope

_MACHINES = frozenset({"key", "oauth"})


def sees_only_itself(who: Principal) -> bool:
    """A key or an OAuth client that may call models and not read usage: it sees its own requests.
    With the scope `usage:read` it sees those of its team, as a person does."""
    is_machine = who.kind in _MACHINES and who.client_id is not None
    return is_machine and not who.may_somewhere(Capability.USAGE_READ)


def scope_of(who: Principal) -> Scope:
    if not sees_only_itself(who):
        return Scope(team_ids=who.teams_with(Capability.USAGE_READ))
    return Scope(
        team_ids=who.teams_with(Capability.INFERENCE),
        client_id=who.client_id,
        key_id=who.key_id,
        user_id=who.user_id,
    )


def within(rows: QuerySet[Any], scope: Scope) -> QuerySet[Any]:
    """Rows of the request log, or of another table with the same columns."""
    if scope.team_ids is not None:
        rows = rows.filter(team_id__in=scope.team_ids)
    if scope.client_id is not None:
        rows = rows.filter(client_id=scope.client_id)
    if scope.key_id is not None:
        rows = rows.filter(key_id=scope.key_id)
    if scope.user_id is not None:
        rows = rows.filter(user_id=scope.user_id)
    return rows
