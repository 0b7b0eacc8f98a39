"""Which children this node wants, in what order they start and in what order they stop."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings

from chatvault.supervisor import tasks
from chatvault.supervisor.board import Board
from chatvault.supervisor.child import Child
from chatvault.supervisor.tasks import Task


@dataclass
class Plan:
    """`stages` start one after the other, each when all before it are ready. `front` answers
    the network; it stops first, then those of `stops`, list by list."""

    stages: list[list[Child]]
    front: list[Child]
    stops: list[list[Child]] = field(default_factory=list)
    gives_up: bool = True
    """Whether a front that never gets ready ends all; else it is tried again and again."""
    overlaps: bool = False
    """Whether two generations of the front may serve at once."""


def plan(listener: socket.socket | None, *, wait: Task | None, has_snapshot: bool) -> Plan:
    """The children of this node's roles. With `wait` the database is not ready for them, and only
    a gateway that has a stored snapshot starts before that task has ended."""
    sections = settings.CHATVAULT
    front = _front(listener)
    background = _background()
    stages = [front, background]
    if wait is not None:
        waiting = [Child("prepare", wait, grace_s=1.0, is_once=True)]
        starts_alone = "gateway" in sections.serving.roles and has_snapshot
        stages = [front, waiting, background] if starts_alone else [waiting, front, background]
    first = [child for child in background if child.name == "ingest"]
    rest = [child for child in background if child.name != "ingest"]
    return Plan(
        stages=[stage for stage in stages if stage],
        front=front,
        stops=[front, first, rest],
        gives_up=not sections.is_distributed,
        overlaps=sections.redis.is_used or "gateway" not in sections.serving.roles,
    )


def _front(listener: socket.socket | None) -> list[Child]:
    sections = settings.CHATVAULT
    if listener is None:
        return []
    is_gateway = "gateway" in sections.serving.roles
    count = sections.gateway.processes if is_gateway else sections.serving.web_processes
    name = "gateway" if is_gateway else "web"
    board = Board() if count > 1 else None
    serve = tasks.gateway(listener, board) if is_gateway else tasks.web(listener, board)
    grace_s = sections.gateway.drain_timeout_s + tasks.AFTER_DRAIN_S
    names = [name] if count == 1 else [f"{name}{number + 1}" for number in range(count)]
    return [Child(name, serve, grace_s, board=board) for name in names]


def _background() -> list[Child]:
    """What may be slower: shipping the journal, tasks, and the clock of the tasks."""
    known: dict[str, Callable[[], Child]] = {
        "ingest": lambda: Child("ingest", tasks.ingest, tasks.INGEST_GRACE_S),
        "beat": lambda: Child("beat", tasks.beat, 5.0, niceness=tasks.BACKGROUND_NICENESS),
        "worker": lambda: Child(
            "worker",
            tasks.work,
            settings.CHATVAULT.celery.grace_s,
            niceness=tasks.BACKGROUND_NICENESS,
        ),
    }
    roles = settings.CHATVAULT.serving.roles
    return [make() for name, make in known.items() if name in roles]
