"""Errors, refusals and faults are counted by ingest, each exactly once."""

import struct
from zlib import crc32

import msgspec
import pytest
from django.db import DatabaseError

from apps.usage import batch as batches
from apps.usage.error_groups import SAMPLES_KEPT, Key
from apps.usage.models import ErrorGroup, ErrorHour, RefusalSample
from apps.usage.records import MAGIC, Intent, Tally, decode_payload
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import AT_MS, end, fault, intent, refused, settle, start

FAILED = {"outcome": "error", "http_status": 504, "error_code": "upstream_timeout"}
HOUR_MS = 3_600_000


def groups() -> dict[tuple[str, str, int, int], int]:
    return {
        (one.kind, one.code, one.deployment_id, one.client_id): one.count
        for one in ErrorGroup.objects.all()
    }


def list_of(record: Intent) -> list[object]:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(record))


def failed_request(**changes: object) -> list[object]:
    request_id = uuid7_bytes()
    return [
        intent(request_id, deployment_id=51),
        end(request_id, http_status=0, error_code="upstream_timeout"),
        settle(request_id, **(FAILED | changes)),
    ]


def test_a_failed_request_and_its_failed_call_are_two_groups(world):
    records = failed_request()
    world.write_dead(*records)
    world.ingest()
    assert groups() == {
        ("request", "upstream_timeout", 51, 21): 1,
        ("attempt", "upstream_timeout", 51, 21): 1,
    }
    group = ErrorGroup.objects.get(kind="request")
    assert (group.deployment_name, group.client_name) == ("gpt-4o-mini@openai", "notebook")
    assert group.last_request_id.bytes == records[0].request_id
    assert (group.last_status, group.state, group.place) == (504, "open", "")
    assert group.last_detail == "The provider did not answer in time."
    assert group.first_seen == group.last_seen


def test_a_call_that_a_fallback_made_good_is_an_error_of_the_call_only(world):
    request_id = uuid7_bytes()
    world.write_dead(
        intent(request_id, deployment_id=52),
        end(request_id, http_status=401, error_code="upstream_credential_refused"),
        start(request_id, 2),
        settle(request_id, attempts=2),
    )
    world.ingest()
    assert groups() == {("attempt", "upstream_credential_refused", 52, 21): 1}
    detail = ErrorGroup.objects.get().last_detail
    assert detail == "status 401. The provider refused ChatVault's credential."


def test_what_went_well_and_what_the_client_ended_is_no_error(world):
    one, two = uuid7_bytes(), uuid7_bytes()
    gone = {"outcome": "cancelled", "http_status": 499, "error_code": "client_closed_request"}
    world.write_dead(
        intent(one, deployment_id=51),
        settle(one),
        intent(two, deployment_id=51),
        end(two, http_status=503, error_code="upstream_overloaded"),
        start(two, 2),
        settle(two, **gone, attempts=2),
    )
    world.ingest()
    assert groups() == {("attempt", "upstream_overloaded", 51, 21): 1}


def test_counts_add_up_by_hour(world):
    later = [AT_MS + HOUR_MS, AT_MS + HOUR_MS + 1, AT_MS]
    for at_ms in later:
        world.write_dead(*failed_request(at_ms=at_ms))
        world.ingest()
    group = ErrorGroup.objects.get(kind="request")
    assert group.count == 3
    hours = ErrorHour.objects.filter(group_id=group.pk).order_by("hour")
    assert list(hours.values_list("count", flat=True)) == [1, 2]
    assert (group.last_seen.timestamp() - group.first_seen.timestamp()) * 1000 == pytest.approx(
        HOUR_MS + 1, abs=1
    )


def test_refusals_and_faults_come_with_a_tally(world):
    tally = Tally(AT_MS, (refused(3), refused(2, client_id=0, key_id=0)), (fault(),))
    world.write_dead(tally)
    world.ingest()
    assert groups() == {
        ("refusal", "model_not_allowed", 0, 21): 3,
        ("refusal", "model_not_allowed", 0, 0): 2,
        ("fault", "ZeroDivisionError", 0, 0): 1,
    }
    assert ErrorGroup.objects.get(kind="fault").place == "apps.gateway.http.answer"
    sample = RefusalSample.objects.get()
    assert (sample.client_id, sample.key_id, sample.alias, sample.count) == (21, 11, "gpt-5", 3)


def test_a_batch_that_the_database_refused_is_counted_once(world, monkeypatch):
    world.write_dead(*failed_request(), Tally(AT_MS, (refused(5),)))
    move = batches._move_cursors

    def refuse(*_: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(batches, "_move_cursors", refuse)
    with pytest.raises(DatabaseError):
        world.ingest()
    assert groups() == {}
    monkeypatch.setattr(batches, "_move_cursors", move)
    world.ingest()
    world.ingest()
    assert sorted(groups().values()) == [1, 1, 5]


def test_a_tally_in_a_live_segment_is_counted_once(world, journal):
    journal.append(Tally(AT_MS, (refused(),)))
    world.ingest()
    journal.append(Tally(AT_MS + 1, (refused(),)))
    world.ingest()
    world.ingest()
    assert groups() == {("refusal", "model_not_allowed", 0, 21): 2}


def test_a_bounded_number_of_samples_is_kept(world):
    RefusalSample.objects.bulk_create(
        RefusalSample(at="2026-01-01T00:00:00Z", client_id=1, key_id=1, status=403, code="x")
        for _ in range(SAMPLES_KEPT)
    )
    world.write_dead(Tally(AT_MS, tuple(refused(key_id=number + 1) for number in range(3))))
    world.ingest()
    assert RefusalSample.objects.count() == SAMPLES_KEPT


def test_groups_have_the_same_number_everywhere():
    assert Key("request", "upstream_timeout", 51, 21).number() == 4928645859249110189
    assert 0 <= Key("fault", "E", place="m.f").number() < 2**63


class TestOtherVersions:
    """N and N-1 work together: a journal may be read by another version than wrote it."""

    def test_an_older_intent_has_no_trace(self):
        kept = list_of(intent())[:-1]
        old = msgspec.msgpack.encode(kept)
        assert decode_payload(old) == intent(kept[1], at_ms=kept[2])

    def test_a_newer_intent_is_read_without_what_is_new(self):
        newer = [*list_of(intent()), "more"]
        assert type(decode_payload(msgspec.msgpack.encode(newer))) is Intent

    def test_a_record_of_a_newer_version_is_passed_over(self, world):
        payload = msgspec.msgpack.encode([99, "news"])
        head = struct.pack("<BH", 99, len(payload))
        check = struct.pack("<I", crc32(payload, crc32(head)))
        world.write_bytes(MAGIC + head + check + payload)
        assert world.ingest() == 0
        assert world.quarantined() == []
        assert world.segments() == []
