"""What every process of ours does first, after the last fork: it says what it is, and begins to
tell of itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from chatvault.lib import databases, logs
from chatvault.lib.metrics import reporter
from chatvault.telemetry import setup

if TYPE_CHECKING:
    from apps.usage.fault_log import FaultLog


class _Begun:
    """One instance, below: the process that has begun; a forked child has not."""

    pid = 0
    faults: FaultLog | None = None


_begun = _Begun()


def begin(role: str) -> None:
    """Call it with the name of the role; calling it again in the same process does nothing."""
    if _begun.pid == os.getpid():
        return
    _begun.pid = os.getpid()
    logs.become(role)
    reporter.be(role)
    databases.become(role.rstrip("0123456789"))
    setup.start(role)
    from apps.gateway import reporting  # only where Django is set up

    reporting.start_background()
    if not role.startswith("gateway"):  # a gateway's faults go by its journal
        from apps.usage.fault_log import FaultLog

        _begun.faults = FaultLog()
        _begun.faults.start()


def end() -> None:
    """Before the process exits."""
    kept, _begun.faults = _begun.faults, None
    if kept is not None:
        kept.stop()
    setup.stop()
    reporter.stop()
