"""Old events leave the database for a file, and both still prove themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction

from apps.audit import checkpoints, trail
from apps.audit.models import AuditEvent
from apps.audit.verify import verify

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("guarded")]

DAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def may_and_june(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five events in each month, é and all."""
    for number in range(10):
        at = DAY + timedelta(days=4 * number if number < 5 else 30 + number)
        monkeypatch.setattr(trail.clock, "now", lambda at=at: at)
        trail.record("test.step", after={"n": number, "text": "é\u2028"})


def archived(path: Path, until: str = "2026-05-31") -> str:
    out = StringIO()
    call_command("archive_audit", str(path), until=until, stdout=out)
    return out.getvalue()


@pytest.mark.usefixtures("may_and_june")
def test_events_move_to_a_file_and_the_chain_goes_on(tmp_path: Path) -> None:
    checkpoints.check_all()
    file = tmp_path / "may.jsonl"
    assert archived(file).startswith("5 events, 1 to 5, hash ")
    assert list(AuditEvent.objects.order_by("id").values_list("id", flat=True)) == [
        6, 7, 8, 9, 10, 11,
    ]  # fmt: skip
    assert AuditEvent.objects.get(id=11).action == "audit.archived"
    assert verify().findings == 0
    trail.record("test.later")
    assert checkpoints.check_recent().findings == 0
    second = tmp_path / "june.jsonl"
    archived(second, "2026-06-08")
    assert verify().findings == 0
    out = StringIO()
    call_command("verify_audit", archive=[file, second], stdout=out)
    assert "8 events checked: all as it was written" in out.getvalue()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("may_and_june")
def test_the_guard_is_back_afterwards(tmp_path: Path) -> None:
    archived(tmp_path / "may.jsonl")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEvent.objects.filter(id=7).update(actor="mallory")


@pytest.mark.usefixtures("may_and_june")
def test_a_file_that_was_changed_is_found(tmp_path: Path) -> None:
    file = tmp_path / "may.jsonl"
    archived(file)
    lines = file.read_text().splitlines()
    row = json.loads(lines[2])
    for damage, sentence in (
        ([*lines[:2], json.dumps(row | {"actor": "mallory"}), *lines[3:]], "Event 3 is not what"),
        ([*lines[:2], *lines[3:]], "Events 3 to 3 are missing."),
        ([lines[1], lines[0]], "Events 3 to 0 are missing."),
    ):
        file.write_text("\n".join(damage) + "\n")
        out = StringIO()
        with pytest.raises(SystemExit):
            call_command("verify_audit", archive=[file], stdout=out)
        assert sentence in out.getvalue()


@pytest.mark.usefixtures("may_and_june")
def test_without_the_event_that_tells_of_it_a_missing_start_is_found(tmp_path: Path) -> None:
    from django.db import connection

    from apps.audit import guard

    archived(tmp_path / "may.jsonl")
    guard.remove(connection)
    AuditEvent.objects.filter(id=6).delete()
    assert "Events 1 to 6 are missing." in verify().examples


@pytest.mark.usefixtures("may_and_june")
@pytest.mark.parametrize(
    ("until", "reason"),
    [
        ("2026-04-01", "There are no events before that day"),
        ("yesterday", "YYYY-MM-DD"),
        ("2026-02-31", "YYYY-MM-DD"),
    ],
)
def test_what_cannot_be_archived_is_refused(tmp_path: Path, until: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        archived(tmp_path / "x.jsonl", until)
    assert AuditEvent.objects.count() == 10


@pytest.mark.usefixtures("may_and_june")
def test_a_trail_in_disorder_and_a_file_that_exists_are_refused(
    tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "old.jsonl").write_text("precious")
    with pytest.raises(CommandError, match="name a new one"):
        archived(tmp_path / "old.jsonl")
    assert (tmp_path / "old.jsonl").read_text() == "precious"
    monkeypatch.setattr("apps.audit.chain.hash_of", lambda values: "0" * 64)
    with pytest.raises(CommandError, match="not in order"):
        archived(tmp_path / "new.jsonl")
    assert not (tmp_path / "new.jsonl").exists()
