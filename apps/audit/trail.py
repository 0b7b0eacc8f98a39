"""Writing the audit trail: in the transaction of what it tells of, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from django.db import transaction
from django.db.models import Model

from apps.audit import acting, chain, seal, values
from apps.audit.models import AuditEvent, AuditHead
from chatvault.lib import clock, correlation, tenancy
from chatvault.lib.writer import hold_writer

NOT_VERIFIED: Final = "audit.head_not_verified"
_recorded: ContextVar[int] = ContextVar("recorded", default=0)


class AuditBroken(Exception):
    """The trail cannot be continued, and so nothing can be changed: see docs/audit.md."""


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

    `before` and `after` hold the fields that changed; what is secret does not belong there, and
    what looks like it or is named like it is masked. Raises whatever keeps it from being written:
    then the change itself is undone as well.
    """
    event = AuditEvent(
        at=clock.now(),
        topic=chain.topic_of(action),
        action=action[:64],
        team_id=team_id,
        target_type=target._meta.label_lower[:64] if target is not None else "",
        target_id=values.text(target.pk, 64) if target is not None else "",
        target=values.text(target, 200) if target is not None else "",
        before=values.fields(before),
        after=values.fields(after),
        request_id=values.text(correlation.current(), 64),
    )
    _sign(event, actor or acting.current())
    hold_writer()
    with tenancy.unlimited():
        head = _head()
        if why := _doubt(head):
            _append(head, _warning(head, why))
        _append(head, event)
    _recorded.set(_recorded.get() + 1)
    return event


def recorded() -> int:
    """How many events there were in this context: compare two answers to see whether what
    happened between them was recorded."""
    return _recorded.get()


def _sign(event: AuditEvent, who: acting.Actor) -> None:
    event.actor_kind = who.kind[:16]
    event.actor = values.text(who.name, 200)
    event.user_id = who.user_id
    event.address = values.address(who.address)


def _head() -> AuditHead:
    head = AuditHead.objects.filter(pk=1).first()
    if head is not None:
        return head
    if AuditEvent.objects.exists():
        raise AuditBroken("The audit trail has lost its head. Nothing can be changed until then.")
    return AuditHead(id=1, last_id=0, hash=chain.START)


def _doubt(head: AuditHead) -> str:
    """Why the head is not known to be ours. A new seal would hide that: the trail tells it."""
    if not head.last_id or not seal.make(0, "").key_id:
        return ""
    return seal.problem(head.last_id, head.hash, head.key_id, head.seal)


def _warning(head: AuditHead, why: str) -> AuditEvent:
    event = AuditEvent(
        at=clock.now(),
        topic="audit",
        action=NOT_VERIFIED,
        before={},
        after=values.fields({"event": head.last_id, "why": why, "found": head.hash[:32]}),
    )
    _sign(event, acting.SYSTEM)
    return event


def _append(head: AuditHead, event: AuditEvent) -> None:
    event.id = head.last_id + 1
    event.previous_hash = head.hash
    event.hash = chain.hash_of([getattr(event, name) for name in chain.COVERED])
    event.save(force_insert=True)
    head.last_id, head.hash = event.id, event.hash
    head.key_id, head.seal = seal.make(head.last_id, head.hash)
    head.save()
