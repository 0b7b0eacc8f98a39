"""Who looked at an error, and what they said of it."""

from __future__ import annotations

from collections.abc import Iterable

from apps.accounts.models import User
from apps.usage.models import ErrorGroup
from chatvault.lib import clock


def set_state(*, numbers: Iterable[int], state: ErrorGroup.State, actor: User) -> int:
    """Acknowledge, resolve or open errors again; returns how many have changed."""
    groups = ErrorGroup.objects.filter(pk__in=list(numbers)).exclude(state=state)
    return groups.update(state=state, state_at=clock.now(), state_by=actor.get_username()[:150])
