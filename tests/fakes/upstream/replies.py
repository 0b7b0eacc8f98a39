"""A reply as the server writes it: a head, then steps that send, wait, hold or break off."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tests.fakes.upstream.answers import Event, Gate


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing for a while."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Send nothing until the gate opens or the client hangs up."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class Cut:
    """End the connection without ending the message: `reset` is an RST, `eof` a FIN."""

    how: Literal["reset", "eof"]


Step = Event | Wait | Hold | Cut


@dataclass(slots=True)
class Reply:
    """`length` None means chunked; `head_steps` happen before the status line is sent."""

    status: int
    headers: Mapping[str, str]
    steps: Iterable[Step]
    length: int | None = None
    head_steps: tuple[Step, ...] = ()


def of_bytes(status: int, headers: Mapping[str, str], body: bytes, size: int = 0) -> Reply:
    """A whole body with its Content-Length; `size` is the number of tokens in it."""
    return Reply(status, headers, [Event(body, size)], len(body))


def held(steps: Iterable[Step], after: int, gate: Gate) -> Iterator[Step]:
    """The same, but nothing more once `after` tokens are out, until the gate opens."""
    sent, is_held = 0, False
    for step in steps:
        size = step.tokens if isinstance(step, Event) else 0
        if not is_held and sent >= after and (size or after == 0):
            is_held = True
            yield Hold(gate)
        sent += size
        yield step


def paced(steps: Iterable[Step], seconds: float) -> Iterator[Step]:
    """The same with a pause before every token."""
    for step in steps:
        if isinstance(step, Event) and step.tokens:
            yield Wait(seconds)
        yield step
