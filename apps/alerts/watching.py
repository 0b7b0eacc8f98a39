"""What is looked at regularly for something to tell. Sources are registered; one that fails is
logged and keeps the others from nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

Source = Callable[[datetime], object]

_sources: Final[dict[str, Source]] = {}
_logger = logging.getLogger(__name__)


def register(name: str, source: Source) -> None:
    """Look at it every minute: it calls `alerts.tell` for what it finds, with the same key as long
    as it is the same occurrence."""
    _sources[name] = source


def look(now: datetime, step: Callable[[int, int], None] = lambda done, total: None) -> list[str]:
    """Ask all of them; the names of those that failed."""
    failed = []
    for number, (name, source) in enumerate(sorted(_sources.items())):
        step(number, len(_sources))
        try:
            source(now)
        except Exception:  # whatever it is, the other sources are asked
            _logger.exception("What %s has to tell is not known.", name)
            failed.append(name)
    step(len(_sources), len(_sources))
    return failed
