import os
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError

from apps.billing.models import Budget, BudgetWindow
from apps.providers.adapters.contract import Usage
from apps.usage import batch as batch_module
from apps.usage.follow import read_status
from apps.usage.ingest import Ingester, take_lock
from apps.usage.models import Attempt, HourlyRollup, JournalCursor, OpenIntent, RequestLog
from apps.usage.records import encode_frame
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import AT_MS, end, intent, progress, settle, start

AT = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)


def whole(**changes):
    """All records of one request that went well."""
    one = uuid7_bytes()
    return [intent(one, **changes), start(one), end(one), settle(one)]


def test_a_request_becomes_a_row_with_its_names_and_figures(world, journal):
    records = whole(stream=True)
    journal.append(*records)
    assert world.ingest() == 1
    row = RequestLog.objects.get()
    expected = {
        "started_at": AT,
        "team_name": "research",
        "client_name": "notebook",
        "key_name": "ci",
        "alias": "gpt-4o-mini",
        "deployment_name": "gpt-4o-mini@openai",
        "provider_name": "openai",
        "operation": "chat",
        "is_stream": True,
        "outcome": "ok",
        "http_status": 200,
        "error_code": "",
        "usage_source": "provider",
        "input_tokens": 90,
        "output_tokens": 40,
        "cached_input_tokens": 10,
        "cost_nano": 36_750,
        "charged_nano": 40_425,
        "upper_bound_nano": None,
        "price_id": 61,
        "tier_id": 41,
        "revision": 7,
        "latency_ms": 210,
        "first_token_ms": 150,
        "attempts": 1,
    }
    assert row.request_id.bytes == records[0].request_id
    assert {name: getattr(row, name) for name in expected} == expected


def test_its_attempts_ledger_entries_and_rollup_come_with_it(world, journal):
    records = whole()
    one = records[0].request_id
    failed = [start(one, 1), end(one, 1, http_status=0, error_code="upstream_timeout")]
    journal.append(records[0], *failed, start(one, 2), end(one, 2), records[3])
    world.ingest()
    attempts = Attempt.objects.values_list("number", "duration_ms", "http_status", "error_code")
    assert list(attempts) == [(1, 200, None, "upstream_timeout"), (2, 200, 200, "")]
    assert world.entries(one) == [
        (0, "client", -40_425),
        (0, "provider", 36_750),
        (0, "margin", 3_675),
    ]
    rollup = HourlyRollup.objects.get()
    assert rollup.hour == AT.replace(minute=0, second=0)
    assert (rollup.requests, rollup.errors, rollup.input_tokens) == (1, 0, 90)
    assert (rollup.latency_ms_sum, rollup.first_token_ms_sum) == (210, 150)
    assert world.is_balanced()


def test_a_free_request_still_has_its_client_entry(world):
    one = uuid7_bytes()
    world.write_dead(intent(one), settle(one, cost_nano=0, charged_nano=0, deployment_id=0))
    world.ingest()
    assert world.entries(one) == [(0, "client", 0)]


def test_a_discount_below_cost_balances_with_a_negative_margin(world):
    one = uuid7_bytes()
    world.write_dead(intent(one), start(one), settle(one, cost_nano=100, charged_nano=60))
    world.ingest()
    assert world.entries(one) == [(0, "client", -60), (0, "provider", 100), (0, "margin", -40)]


def test_rows_of_a_late_hour_land_in_their_hour(world):
    world.write_dead(*whole(), *whole(at_ms=AT_MS - 3_600_000), *whole(at_ms=AT_MS - 86_400_000))
    world.ingest()
    hours = HourlyRollup.objects.order_by("hour").values_list("hour", "requests")
    top = AT.replace(minute=0, second=0)
    assert list(hours) == [
        (top - timedelta(days=1), 1),
        (top - timedelta(hours=1), 1),
        (top, 1),
    ]


def test_a_live_segment_is_followed_and_what_is_open_waits(world, journal):
    first, second = whole(), whole()
    journal.append(*first, *second[:2])
    ingester = Ingester(world.folder)
    ingester.load()
    assert ingester.step() == 6
    assert ingester.step() == -1
    assert list(world.requests()) == [first[0].request_id]
    journal.append(*second[2:])
    assert ingester.step() == 2
    assert set(world.requests()) == {first[0].request_id, second[0].request_id}
    assert len(world.segments()) == 1
    ingester.close()


def test_what_is_open_is_known_again_after_a_restart_of_ingest(world, journal):
    records = whole()
    journal.append(*records[:2])
    world.ingest()
    journal.append(*records[2:])
    assert world.ingest() == 1
    assert world.requests()[records[0].request_id].outcome == "ok"


def test_open_requests_move_to_the_database_when_their_segment_goes(world):
    journal = world.open_journal(segment_bytes=1000)
    long = whole()
    journal.append(*long[:2])
    for _ in range(10):
        journal.append(*whole())
    world.ingest()
    assert len(world.segments()) == 1
    assert OpenIntent.objects.count() == 1
    journal.append(progress(long[0].request_id, 7))
    world.ingest()
    journal.append(*long[2:])
    world.ingest()
    journal.close()
    world.ingest()
    assert OpenIntent.objects.count() == 0
    assert world.segments() == []
    assert world.outcomes() == {"ok": 11}
    assert world.is_balanced()


def test_an_open_request_of_a_gone_segment_is_settled_when_its_process_dies(world):
    journal = world.open_journal(segment_bytes=1000)
    long = whole()
    journal.append(*long[:2])
    for _ in range(10):
        journal.append(*whole())
    world.ingest()
    journal.append(progress(long[0].request_id, 7))
    world.ingest()
    journal.close()
    world.ingest()
    row = world.requests()[long[0].request_id]
    assert (row.outcome, row.input_tokens, row.output_tokens) == ("interrupted", 100, 7)
    assert OpenIntent.objects.count() == 0


def test_a_second_settlement_of_a_settled_request_changes_nothing(world, journal):
    records = whole()
    journal.append(*records, settle(records[0].request_id, charged_nano=1, cost_nano=1))
    world.ingest()
    assert world.entries(records[0].request_id)[0] == (0, "client", -40_425)
    assert len(world.entries(records[0].request_id)) == 3


def test_a_settlement_without_its_request_is_kept_aside(world, caplog):
    one = uuid7_bytes()
    world.write_dead(settle(one), *whole())
    assert world.ingest() == 1
    (kept,) = world.quarantined()
    assert kept.read_bytes() == encode_frame(settle(one))
    assert "without its request" in caplog.text


def test_replay_with_cursors_set_back_changes_nothing(world, journal):
    Budget.objects.create(team_id=31, amount_nano=10**9, period="month")
    records = [record for _ in range(50) for record in whole()]
    interrupted = uuid7_bytes()
    journal.append(*records, intent(interrupted), start(interrupted))
    copy = (world.folder / world.segments()[0]).read_bytes()
    name = world.segments()[0]
    journal.close()
    world.ingest()
    before = figures(world)
    for offset in (0, 88, len(copy) // 2):
        (world.folder / name).write_bytes(copy)
        JournalCursor.objects.update(offset=offset, is_finished=False)
        if offset == 88:
            JournalCursor.objects.all().delete()
        world.ingest()
        assert figures(world) == before
    assert world.outcomes() == {"ok": 50, "interrupted": 1}
    assert world.is_balanced()


def test_a_failed_batch_books_nothing_and_is_tried_again(world, journal, monkeypatch):
    records = whole()
    journal.append(*records)
    real = batch_module._move_cursors

    def breaks(*_args):
        raise OperationalError("the connection is lost")

    monkeypatch.setattr(batch_module, "_move_cursors", breaks)
    with pytest.raises(OperationalError):
        world.ingest()
    assert (world.requests(), world.rollup_requests()) == ({}, 0)
    assert world.entries(records[0].request_id) == []
    monkeypatch.setattr(batch_module, "_move_cursors", real)
    assert world.ingest() == 1
    assert world.is_balanced()


def test_a_commit_whose_answer_is_lost_is_not_booked_twice(world, journal, monkeypatch):
    Budget.objects.create(key_id=11, amount_nano=10**9, period="day")
    journal.append(*whole())
    ingester = Ingester(world.folder)
    ingester.load()
    real = batch_module.commit

    def commits_and_breaks(*args, **options):
        real(*args, **options)
        raise DatabaseError("the answer is lost")

    monkeypatch.setattr("apps.usage.ingest.commit", commits_and_breaks)
    with pytest.raises(DatabaseError):
        ingester.step()
    ingester.close()
    monkeypatch.setattr("apps.usage.ingest.commit", real)
    before = figures(world)
    world.ingest()
    JournalCursor.objects.all().delete()
    world.ingest()
    assert figures(world) == before
    assert world.rollup_requests() == 1


def test_usage_that_no_provider_can_mean_does_not_stop_the_rest(world):
    one = uuid7_bytes()
    odd = Usage(input_tokens=-5, output_tokens=2**63, cached_input_tokens=2**50)
    world.write_dead(intent(one), settle(one, usage=odd), *whole())
    assert world.ingest() == 2
    row = world.requests()[one]
    assert (row.input_tokens, row.output_tokens) == (0, 2**40)


def test_a_charge_below_zero_is_never_booked(world):
    one = uuid7_bytes()
    world.write_dead(intent(one), settle(one, charged_nano=-1), *whole())
    world.ingest()
    assert world.requests()[one].charged_nano == 0
    assert len(world.quarantined()) == 1


def test_things_that_are_gone_leave_their_ids(world):
    one = uuid7_bytes()
    world.write_dead(
        intent(one, team_id=99, client_id=98, key_id=97), settle(one, deployment_id=96)
    )
    world.ingest()
    row = world.requests()[one]
    assert (row.team_id, row.client_id, row.key_id, row.deployment_id) == (99, 98, 97, 96)
    assert (row.team_name, row.client_name, row.key_name, row.provider_name) == ("", "", "", "")


def test_status_tells_what_is_left(world, journal):
    assert read_status(world.folder) is None
    journal.append(*whole())
    world.ingest()
    status = read_status(world.folder)
    assert (status.unshipped_bytes, status.shipped_requests, status.failures) == (0, 1, 0)


def test_one_folder_has_one_ingest(world, settings, monkeypatch):
    monkeypatch.setattr(type(settings.CHATVAULT), "journal_dir", world.folder)
    lock = take_lock(world.folder)
    assert lock is not None
    with pytest.raises(CommandError, match="Another ingest already follows"):
        call_command("ingest", "--once")
    os.close(lock)


def figures(world):
    return (
        {key: row.charged_nano for key, row in world.requests().items()},
        list(HourlyRollup.objects.order_by("pk").values_list("requests", "charged_nano")),
        list(BudgetWindow.objects.order_by("pk").values_list("settled_nano", flat=True)),
        Attempt.objects.count(),
        [world.entries(key) for key in sorted(world.requests())],
    )
