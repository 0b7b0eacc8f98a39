"""Who is acting: set at the edges (middleware, API, commands), read by the audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True)
class Actor:
    """Who does what is recorded inside. `name` is for people; `user_id` for a person's account."""

    kind: str  # person | key | jwt | oauth | system | anonymous
    name: str
    user_id: int | None = None
    address: str | None = None


SYSTEM: Final = Actor("system", "ChatVault")
_current: ContextVar[Actor] = ContextVar("actor", default=SYSTEM)


def current() -> Actor:
    return _current.get()


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """What is recorded inside is this actor's doing."""
    token = _current.set(actor)
    try:
        yield
    finally:
        _current.reset(token)


def become(actor: Actor) -> None:
    """Until the enclosing `acting` ends it is this actor after all: one whose credential the API
    has read. Who gives no address acts from the one that is known."""
    _current.set(replace(actor, address=actor.address or current().address))
