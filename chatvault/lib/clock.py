"""The one source of time, so that tests can set it and durations never run backwards."""

from __future__ import annotations

import time
from datetime import UTC, datetime

monotonic = time.monotonic
monotonic_ns = time.monotonic_ns
wall_ns = time.time_ns


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return datetime.now(UTC)


def wall_s() -> float:
    """Seconds since the epoch; for deadlines use `monotonic`."""
    return time.time()
