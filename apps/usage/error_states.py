"""Who looked at an error, and what they said of it."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from apps.accounts.models import User
from apps.audit import trail
from apps.usage.models import ErrorGroup
from chatvault.lib import clock


@transaction.atomic
def set_state(*, numbers: Iterable[int], state: ErrorGroup.State, actor: User) -> int:
    """Acknowledge, resolve or open errors again; returns how many have changed."""
    groups = ErrorGroup.objects.filter(pk__in=list(numbers)).exclude(state=state)
    before = {str(group): group.state for group in groups}
    if before:
        groups.update(state=state, state_at=clock.now(), state_by=actor.get_username()[:150])
        trail.record(f"error.{state}", before=before, after=dict.fromkeys(before, state))
    return len(before)
