"""Places where the chaos suite makes a process die; nothing else sets CHATVAULT_FAILPOINT.

`CHATVAULT_FAILPOINT=name` or `name:n`: a process that comes to the place for the n-th time kills
itself there as the kernel would. A place costs a look at a constant when nothing is set:

    if failpoints.ARMED:
        failpoints.reach("intent-written")
"""

from __future__ import annotations

import os
import signal
from typing import Final

PLACES: Final = {
    "reserved": "money is held, nothing is written",
    "intent-written": "the intent is in the journal, nothing was sent",
    "attempt-ended": "an attempt failed, the next one is not written yet",
    "attempt-written": "a second attempt is in the journal, nothing was sent for it",
    "progress-written": "a stream has begun and its progress is marked",
    "upstream-answered": "the provider has answered, the settlement is not written",
    "settle-written": "the settlement is written, the limits do not know it",
    "limits-settled": "the books are closed, the last byte is not sent",
    "last-byte-sent": "the client has everything",
    "segment-published": "the next segment has its name, nobody writes to it yet",
    "batch-inserted": "ingest has a batch in its transaction",
    "batch-committed": "a batch is in the database, ingest does not know it yet",
    "segment-finished": "a segment is in the database and still on disk",
    "job-begun": "a job's row says that it runs, nothing is done",
    "job-step": "a job has told how far it is",
    "sums-cleared": "the old sums of an hour are taken away in a transaction",
    "job-done": "a job's work is done, its row does not say so yet",
}
"""By name: what is true there."""

_name, _, _count = os.environ.get("CHATVAULT_FAILPOINT", "").partition(":")
ARMED: Final = bool(_name)
_left = {_name: int(_count or 1)}


def reach(name: str) -> None:
    """Die here, if it is this place's turn."""
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
