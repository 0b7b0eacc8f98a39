"""Writing the audit trail: in the transaction of what it tells of, or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction
from django.db.models import Model

from apps.audit import acting
from apps.audit.models import AuditEvent
from chatvault.lib import clock, correlation
from chatvault.lib.writer import hold_writer

START: Final = "0" * 64


@transaction.atomic
def record(
    action: str,
    *,
    target: Model | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    team_id: int | None = None,
    actor: acting.Actor | None = None,
) -> AuditEvent:
    """Append one event; who, from where and for which request come from the context.

    `before` and `after` hold the fields that changed, of JSON's types; what is secret does not
    belong there, and what looks like it is masked. Raises whatever keeps it from being written:
    then the change itself is undone as well.
    """
    hold_writer()
    last = AuditEvent.objects.order_by("-id").first()
    who = actor or acting.current()
    event = AuditEvent(
        id=last.id + 1 if last else 1,
        at=clock.now(),
        action=action,
        actor_kind=who.kind,
        actor=who.name[:200],
        user_id=who.user_id,
        team_id=team_id,
        target_type=target._meta.label_lower if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        target=str(target)[:200] if target is not None else "",
        before=dict(before or {}),
        after=dict(after or {}),
        request_id=correlation.current(),
        address=who.address,
        previous_hash=last.hash if last else START,
    )
    event.hash = hash_of(event)
    event.save(force_insert=True)
    return event


def hash_of(event: AuditEvent) -> str:
    """SHA-256 over the previous hash and every field, in one unambiguous form."""
    fields = [
        event.previous_hash,
        event.id,
        event.at.isoformat(),
        event.action,
        event.actor_kind,
        event.actor,
        event.user_id,
        event.team_id,
        event.target_type,
        event.target_id,
        event.target,
        event.before,
        event.after,
        event.request_id,
        event.address,
    ]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
