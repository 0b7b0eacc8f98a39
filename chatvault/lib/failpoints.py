"""Places where the chaos suite makes a process die; nothing else sets CHATVAULT_FAILPOINT.

`CHATVAULT_FAILPOINT=name` or `name:n`: a process that comes to the place for the n-th time kills
itself there as the kernel would. Of several, by commas, each process has one, by its number. A
place costs a look at a constant when nothing is set:

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

_wanted: Final = [
    (name, int(count or 1))
    for name, _, count in (
        one.strip().partition(":") for one in os.environ.get("CHATVAULT_FAILPOINT", "").split(",")
    )
    if name
]
ARMED: Final = bool(_wanted)


class _Turn:
    """The place of this process: another one after a fork."""

    pid = 0
    name = ""
    left = 0


def reach(name: str) -> None:
    """Die here, if it is this place's turn in this process."""
    pid = os.getpid()
    if _Turn.pid != pid:
        _Turn.pid = pid
        _Turn.name, _Turn.left = _wanted[pid % len(_wanted)]
    if name != _Turn.name:
        return
    _Turn.left -= 1
    if _Turn.left <= 0:
        os.write(2, f"failpoint {name}\n".encode())
        os.kill(pid, signal.SIGKILL)
