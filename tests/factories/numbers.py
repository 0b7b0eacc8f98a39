from __future__ import annotations

import itertools

_count = itertools.count(1)


def unique(prefix: str) -> str:
    """A name that no other row of this process has."""
    return f"{prefix}-{next(_count)}"
