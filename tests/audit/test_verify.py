"""Whatever is done to the trail behind ChatVault's back is found."""

from __future__ import annotations

import base64
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.audit import chain, checkpoints, seal, trail
from apps.audit.models import AuditCheckpoint, AuditEvent, AuditHead
from apps.audit.verify import Report, verify

pytestmark = pytest.mark.django_db

EVENTS = AuditEvent.objects


@pytest.fixture
def ten() -> list[AuditEvent]:
    return [trail.record(f"test.step{number}", after={"n": number}) for number in range(1, 11)]


def set_event(number: int, **values: Any) -> None:
    EVENTS.filter(id=number).update(**values)


def swap() -> None:
    four, five = EVENTS.get(id=4), EVENTS.get(id=5)
    set_event(5, id=99)
    set_event(4, id=5)
    set_event(99, id=4)
    assert (four.hash, five.hash) == (EVENTS.get(id=5).hash, EVENTS.get(id=4).hash)


def cut_off(head: bool = False) -> None:
    EVENTS.filter(id__gt=7).delete()
    if head:
        AuditHead.objects.update(last_id=7, hash=EVENTS.get(id=7).hash)


def rewrite(*, from_id: int) -> None:
    """A whole new chain, right in itself: all that somebody without the key can do."""
    previous = EVENTS.get(id=from_id - 1).hash
    for event in EVENTS.filter(id__gte=from_id).order_by("id"):
        event.actor, event.previous_hash = "mallory", previous
        event.hash = chain.hash_of([getattr(event, name) for name in chain.COVERED])
        EVENTS.filter(id=event.id).update(
            actor=event.actor, previous_hash=previous, hash=event.hash
        )
        previous = event.hash
    AuditHead.objects.update(hash=previous)


DAMAGES: dict[str, tuple[Callable[[], Any], str]] = {
    "actor": (lambda: set_event(3, actor="mallory"), "Event 3 is not what was written."),
    "value": (lambda: set_event(3, after={"n": 4}), "Event 3 is not what was written."),
    "topic": (lambda: set_event(3, topic="other"), "Event 3 is not what was written."),
    "gap": (lambda: EVENTS.filter(id__in=[4, 5]).delete(), "Events 4 to 5 are missing."),
    "start": (lambda: EVENTS.filter(id__lt=3).delete(), "Events 1 to 2 are missing."),
    "order": (swap, "Event 4 is not what was written."),
    "end": (cut_off, "Events 8 to 10, the end, are missing."),
    "end and head": (lambda: cut_off(head=True), "is not genuine: its seal is not one"),
    "rewritten": (lambda: rewrite(from_id=2), "is not genuine: its seal is not one"),
    "extra": (
        lambda: EVENTS.create(
            id=11, at=EVENTS.get(id=10).at, topic="x", action="x.y", actor_kind="person",
            actor="x", previous_hash=EVENTS.get(id=10).hash, hash="f" * 64,
        ),
        "There are events after 10, where the trail ends.",
    ),
    "no head": (lambda: AuditHead.objects.all().delete(), "The head of the trail is missing."),
    "unsealed": (lambda: AuditHead.objects.update(seal=""), "is not genuine: it has no seal."),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_found(ten: list[AuditEvent], damage: str) -> None:
    assert verify() == Report(1, 10, ten[-1].hash, 10)
    do, sentence = DAMAGES[damage]
    do()
    found = verify()
    assert any(sentence in example for example in found.examples), found.examples
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit", stdout=out)
    assert ended.value.code == 1
    assert sentence in out.getvalue()


def test_a_doubtful_head_is_told_of_although_new_events_seal_it_again(
    ten: list[AuditEvent],
) -> None:
    """Somebody cuts the end off, with the head; the next change would hide it under a seal."""
    cut_off(head=True)
    trail.record("test.after")
    assert [each.action for each in EVENTS.filter(id__gt=7).order_by("id")] == [
        "audit.head_not_verified", "test.after",
    ]  # fmt: skip
    found = verify()
    assert found.findings == 1
    assert "At event 8 the trail's head was in doubt" in found.examples[0]
    call_command("verify_audit", accept="restored from a backup", stdout=StringIO())
    assert (verify().findings, verify().accepted) == (0, 1)


def test_nothing_is_changed_while_the_head_is_missing(ten: list[AuditEvent]) -> None:
    AuditHead.objects.all().delete()
    with pytest.raises(trail.AuditBroken):
        trail.record("test.after")


def test_a_whole_trail_that_was_put_back_is_found_by_a_checkpoint(ten: list[AuditEvent]) -> None:
    """Head and events of an earlier moment are genuine; what came later was seen, though."""
    early = AuditHead.objects.values().get()
    trail.record("test.eleven")
    checkpoints.check_all()
    EVENTS.filter(id=11).delete()
    AuditHead.objects.update(**early)
    trail.record("test.instead")
    assert "Event 11 is another one than at checkpoint" in verify().examples[0]


def test_a_known_hash_can_be_expected(ten: list[AuditEvent]) -> None:
    call_command("verify_audit", expect=f"10:{ten[-1].hash[:32]}", stdout=StringIO())
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("verify_audit", expect=f"9:{ten[-1].hash}", stdout=out)
    assert "Event 9 has another hash than expected." in out.getvalue()


def test_a_checkpoint_of_somebody_else_is_found(ten: list[AuditEvent]) -> None:
    checkpoints.check_all()
    AuditCheckpoint.objects.update(hash="0" * 64)
    assert "is not genuine" in verify().examples[0]


def test_recent_events_are_verified_from_the_last_checkpoint_on(ten: list[AuditEvent]) -> None:
    checkpoints.check_all()
    trail.record("test.more")
    kept = checkpoints.check_recent()
    assert (kept.first_id, kept.last_id, kept.checked, kept.findings) == (10, 11, 2, 0)
    set_event(11, actor="mallory")
    assert checkpoints.check_recent().findings == 1


def test_from_a_later_event_earlier_ones_are_not_read(ten: list[AuditEvent]) -> None:
    set_event(3, actor="mallory")
    assert verify(from_id=5) == Report(5, 10, ten[-1].hash, 6)
    EVENTS.filter(id=6).update(previous_hash="0" * 64)
    assert "Event 6 does not follow the one before it." in verify(from_id=6).examples


def test_an_empty_trail_is_whole() -> None:
    assert verify() == Report()


def test_rows_are_read_in_batches(ten: list[AuditEvent], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.audit.verify._AT_ONCE", 3)
    told: list[tuple[int, int]] = []
    with CaptureQueriesContext(connection) as queries:
        assert verify(progress=lambda *at: told.append(at)).findings == 0
    assert told == [(3, 10), (6, 10), (9, 10), (10, 10), (10, 10)]
    assert all("LIMIT" in each["sql"] for each in queries if '"before"' in each["sql"])


def test_after_a_rotation_old_checkpoints_do_no_harm(
    ten: list[AuditEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.check_all()
    keys = [("t2", b"w" * 32), ("t1", b"v" * 32)]
    use_keys(monkeypatch, *keys)
    trail.record("vault.resealed")
    assert AuditHead.objects.get().key_id == "t2"
    use_keys(monkeypatch, keys[0])
    assert verify().findings == 0


def test_a_key_that_was_taken_away_too_early_is_told_of(
    ten: list[AuditEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_keys(monkeypatch, ("t2", b"w" * 32))
    assert "its key 't1' is not in CHATVAULT_VAULT_KEYS any more" in verify().examples[0]


def use_keys(monkeypatch: pytest.MonkeyPatch, *keys: tuple[str, bytes]) -> None:
    text = ",".join(f"{name}:{base64.b64encode(key).decode()}" for name, key in keys)
    monkeypatch.setattr(seal, "settings", _Stub(text, django_settings), raising=True)


class _Stub:
    """Django's settings with other keys of the vault."""

    def __init__(self, keys: str, real: Any) -> None:
        from types import SimpleNamespace

        from pydantic import SecretStr

        self.CHATVAULT = SimpleNamespace(vault=SimpleNamespace(keys=SecretStr(keys)))
