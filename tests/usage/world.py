"""A journal folder and the database behind it, with the questions that tests ask of them."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

from apps.billing.models import LedgerEntry
from apps.usage.follow import Follower
from apps.usage.journal import Journal
from apps.usage.models import HourlyRollup, RequestLog
from apps.usage.records import Record, encode_frame
from apps.usage.segments import new_owner
from apps.usage.verify import verify


class World:
    """Ingest runs in this process; a segment without a lock is one whose process died."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open_journal(self, **options: Any) -> Journal:
        journal = Journal(self.folder, **options)
        journal.open()
        return journal

    def write_dead(self, *records: Record, tail: bytes = b"") -> Path:
        """A segment of a process that no longer lives."""
        return self.write_bytes(b"".join(encode_frame(record) for record in records) + tail)

    def write_bytes(self, data: bytes, owner: str = "", seq: int = 1) -> Path:
        path = self.folder / f"{owner or new_owner()}-{seq:08d}.cvj"
        path.write_bytes(data)
        return path

    def ingest(self) -> int:
        return Follower(self.folder, threading.Event()).run_once()

    def requests(self) -> dict[bytes, RequestLog]:
        return {row.request_id.bytes: row for row in RequestLog.objects.all()}

    def entries(self, request_id: bytes) -> list[tuple[int, str, int]]:
        return list(
            LedgerEntry.objects.filter(request_id=request_id.hex())
            .order_by("number", "pk")
            .values_list("number", "account", "amount_nano")
        )

    def rollup_requests(self) -> int:
        return sum(HourlyRollup.objects.values_list("requests", flat=True))

    def segments(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.cvj"))

    def quarantined(self) -> list[Path]:
        return sorted(self.folder.glob("quarantine/*"))

    def outcomes(self) -> Counter[str]:
        return Counter(RequestLog.objects.values_list("outcome", flat=True))

    def is_balanced(self) -> bool:
        wrong = [finding for finding in verify() if finding.differences]
        assert wrong == []
        return True
