"""The real ingest, from a journal's bytes to the commit, beside reads that go on."""

from __future__ import annotations

import os
import statistics
import threading
import time
from pathlib import Path
from typing import Any

from apps.billing.models import LedgerEntry
from apps.usage.follow import Follower
from apps.usage.models import Attempt, RequestLog
from apps.usage.records import encode_frame
from apps.usage.segments import new_owner

REQUESTS = int(os.environ.get("INGEST", "100000"))


def measure(home: Path) -> dict[str, Any]:
    """Rows of all tables: requests, calls, entries of the ledger."""
    from benchmarks.reports.beside import Reader

    folder = home / "journal"
    folder.mkdir(exist_ok=True)
    path = folder / f"{new_owner()}-00000001.cvj"
    with path.open("wb") as file:
        for frames in _frames():
            file.write(frames)
    with Reader() as reads:
        began, before = time.perf_counter(), _counts()
        took_counting = time.perf_counter() - began
        began = time.perf_counter()
        shipped = Follower(folder, threading.Event()).run_once()
        took = time.perf_counter() - began
    assert shipped == REQUESTS, shipped
    rows = sum(_counts()) - sum(before)
    found = {
        "requests": shipped,
        "requests_s": shipped / took,
        "rows": rows,
        "rows_s": rows / took,
        "reads": len(reads.times),
        "read_ms": 1000 * statistics.mean(reads.times) if reads.times else 0.0,
        "counting_s": took_counting,
    }
    print(
        f"ingest: {found['requests_s']:,.0f} requests/s, {found['rows_s']:,.0f} rows/s beside "
        f"{found['reads']} reads of {found['read_ms']:.0f} ms"
    )
    return found


def _counts() -> tuple[int, int, int]:
    return (
        RequestLog.objects.filter(client_name="").count(),
        Attempt.objects.filter(deployment_id=51).count(),
        LedgerEntry.objects.filter(client_id__in=_CLIENTS).count(),
    )


_CLIENTS = range(900_021, 900_026)


def _frames():
    """Requests of now by five clients, as a busy gateway writes them."""
    from chatvault.lib.ids import uuid7_bytes
    from tests.usage.samples import end, intent, settle, start

    now_ms = int(time.time() * 1000)
    for number in range(REQUESTS):
        one, at_ms = uuid7_bytes(), now_ms - number % 3_600_000
        records = (
            intent(one, at_ms=at_ms, client_id=_CLIENTS[number % 5]),
            start(one, at_ms=at_ms),
            end(one, at_ms=at_ms + 200),
            settle(one, at_ms=at_ms + 210),
        )
        yield b"".join(map(encode_frame, records))
