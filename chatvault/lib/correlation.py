"""The id that ties together what one request caused: its lines, its tasks, its job runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

HEADER: Final = "chatvault_correlation_id"
MAX_LENGTH: Final = 64
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._:-]")
_current: ContextVar[str] = ContextVar("correlation", default="")


def current() -> str:
    """The id of what runs here; empty when nothing gave one."""
    return _current.get()


def clean(text: object) -> str:
    """Somebody's id as far as it may stand in a line, a header or a row."""
    return _UNSAFE.sub("", str(text or ""))[:MAX_LENGTH]


@contextmanager
def within(found: object) -> Iterator[str]:
    """What happens inside carries this id."""
    token = _current.set(clean(found))
    try:
        yield _current.get()
    finally:
        _current.reset(token)
