"""What every process of ours does first, after the last fork: it says what it is, and begins to
tell of itself."""

import os

from chatvault.lib import databases, logs
from chatvault.lib.metrics import reporter
from chatvault.telemetry import setup


class _Begun:
    """One instance, below: the process that has begun; a forked child has not."""

    pid = 0


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


def end() -> None:
    """Before the process exits."""
    reporter.stop()
    setup.stop()
