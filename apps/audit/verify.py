"""Proves that the trail is what was written: nothing edited, missing, moved or cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Max

from apps.audit import chain, seal
from apps.audit.models import AuditCheckpoint, AuditEvent, AuditHead
from apps.audit.trail import NOT_VERIFIED

ACCEPTED: Final = "audit.accepted"
ARCHIVED: Final = "audit.archived"
HASH_SHOWN: Final = 32  # digits: enough to tell two apart, too few to be taken for a secret
MOST_EXAMPLES: Final = 20
_AT_ONCE: Final = 2_000
_ID, _ACTION, _AFTER = (chain.COVERED.index(name) for name in ("id", "action", "after"))
_TOPIC, _HASH = len(chain.COVERED), len(chain.COVERED) + 1

Progress = Callable[[int, int], None]


@dataclass
class Report:
    """What was read and what was found. `accepted`: findings that somebody has looked at."""

    first_id: int = 0
    last_id: int = 0
    hash: str = chain.START
    checked: int = 0
    findings: int = 0
    accepted: int = 0
    examples: list[str] = field(default_factory=list)

    def find(self, sentence: str) -> None:
        self.findings += 1
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(sentence)


def verify(*, from_id: int = 1, progress: Progress | None = None) -> Report:
    """Every event from `from_id` to the head, in bounded memory; nothing is changed.

    Events that are recorded meanwhile belong to the next verification.
    """
    report = Report()
    newest = AuditEvent.objects.aggregate(top=Max("id"))["top"] or 0
    head = AuditHead.objects.filter(pk=1).first()  # after the newest: never behind it
    if head is None:
        if newest:
            report.find("The head of the trail is missing.")
        return report
    if newest > head.last_id:
        report.find(f"There are events after {head.last_id:,}, where the trail ends.")
    _Walk(report, head.last_id, from_id, progress).through()
    _check_head(report, head)
    return report


class _Walk:
    """From the first event to the last, remembering only the hash of the one before."""

    def __init__(self, report: Report, until: int, from_id: int, progress: Progress | None) -> None:
        self.report, self.until, self.from_id = report, until, max(1, from_id)
        self.progress = progress or (lambda done, total: None)
        self.total = max(0, until - self.from_id + 1)
        self.previous = _hash_before(self.from_id)
        self.expected = self.from_id
        self.start_gap: tuple[int, str] | None = None
        self.doubts: dict[int, str] = {}

    def through(self) -> None:
        report = self.report
        report.hash = self.previous or chain.START
        report.last_id = self.from_id - 1
        for batch in self._batches():
            for row in batch:
                self._check(row)
            self._check_checkpoints(batch[0][_ID], batch[-1][_ID])
            self.progress(report.checked, self.total)
        if self.start_gap is not None:
            report.find(f"Events 1 to {self.start_gap[0] - 1:,} are missing.")
        if self.expected <= self.until:
            report.find(f"Events {self.expected:,} to {self.until:,}, the end, are missing.")
        for sentence in self.doubts.values():
            report.find(sentence)
        self.progress(self.total, self.total)

    def _batches(self) -> Iterator[list[tuple[Any, ...]]]:
        columns = (*chain.COVERED, "topic", "hash")
        after = self.from_id - 1
        while after < self.until:
            rows = AuditEvent.objects.filter(id__gt=after, id__lte=self.until).order_by("id")
            batch = list(rows.values_list(*columns)[:_AT_ONCE])
            if not batch:
                return
            yield batch
            after = batch[-1][_ID]

    def _check(self, row: tuple[Any, ...]) -> None:
        report, number = self.report, row[_ID]
        if not report.checked:
            report.first_id = number
        if number != self.expected:
            self._gap(number, row[0])
        elif self.previous is not None and row[0] != self.previous:
            report.find(f"Event {number:,} does not follow the one before it.")
        if chain.hash_of(row[:_TOPIC]) != row[_HASH] or row[_TOPIC] != chain.topic_of(row[_ACTION]):
            report.find(f"Event {number:,} is not what was written.")
        self._note(number, row[_ACTION], row[_AFTER])
        report.checked += 1
        report.last_id, report.hash = number, row[_HASH]
        self.previous, self.expected = row[_HASH], number + 1

    def _gap(self, number: int, previous_hash: str) -> None:
        if self.expected == 1:  # archived, if an event says so
            self.start_gap = (number, previous_hash)
        else:
            self.report.find(f"Events {self.expected:,} to {number - 1:,} are missing.")

    def _note(self, number: int, action: str, after: Any) -> None:
        if action == NOT_VERIFIED:
            why = after.get("why", "")
            self.doubts[number] = f"At event {number:,} the trail's head was in doubt: {why}."
        elif action == ACCEPTED:
            for known in [each for each in self.doubts if each <= int(after.get("until", 0))]:
                del self.doubts[known]
                self.report.accepted += 1
        elif action == ARCHIVED and self.start_gap and self._explains_the_start(after):
            self.start_gap = None

    def _explains_the_start(self, after: Any) -> bool:
        """Whether these are the events that were archived."""
        assert self.start_gap is not None
        number, previous = self.start_gap
        known = str(after.get("hash", ""))
        is_next = int(after.get("until", 0)) + 1 == number
        return is_next and len(known) == HASH_SHOWN and previous.startswith(known)

    def _check_checkpoints(self, first: int, last: int) -> None:
        """Earlier verifications saw the same hashes."""
        anchors = AuditCheckpoint.objects.filter(
            last_id__gte=first, last_id__lte=last, findings=0
        ).values_list("last_id", "hash", "key_id", "seal", "pk")
        hashes = dict(
            AuditEvent.objects.filter(id__in=[each[0] for each in anchors]).values_list(
                "id", "hash"
            )
        )
        for number, hash_, key_id, value, pk in anchors:
            why = seal.problem(number, hash_, key_id, value)
            if "any more" in why:  # a key that was rotated out; the head's seal covers it all
                continue
            if why:
                self.report.find(f"Checkpoint {pk} is not genuine: {why}.")
            elif hashes.get(number) != hash_:
                self.report.find(f"Event {number:,} is another one than at checkpoint {pk}.")


def _hash_before(from_id: int) -> str | None:
    """What the first event must follow; None where that event is not there to be asked."""
    if from_id <= 1:
        return chain.START
    return AuditEvent.objects.filter(id=from_id - 1).values_list("hash", flat=True).first()


def _check_head(report: Report, head: AuditHead) -> None:
    if report.checked and report.last_id == head.last_id and report.hash != head.hash:
        report.find(f"The head names another hash than event {head.last_id:,} has.")
    if head.last_id and (why := seal.problem(head.last_id, head.hash, head.key_id, head.seal)):
        report.find(f"The head of the trail is not genuine: {why}.")
