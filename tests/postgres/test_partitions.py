"""Rows of the request log lie in partitions of their day, and none is ever refused."""

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from django.core.management import call_command
from django.db import OperationalError, connection

from apps.usage import partitions
from apps.usage.models import Attempt, RequestLog
from chatvault.lib import clock
from chatvault.lib.ids import uuid7_bytes
from tests.factories import make_attempt, make_request
from tests.usage.samples import intent, settle, start

pytestmark = pytest.mark.django_db
TODAY = clock.now().date()
DAY = timedelta(days=1)


def names(table: str = "usage_requestlog") -> list[str]:
    return [one.name for one in partitions.listing([table])]


def place_of(row: RequestLog | Attempt) -> str:
    with connection.cursor() as cursor:
        query = {
            RequestLog: "SELECT tableoid::regclass::text FROM usage_requestlog WHERE id = %s",
            Attempt: "SELECT tableoid::regclass::text FROM usage_attempt WHERE id = %s",
        }
        cursor.execute(query[type(row)], [row.pk])
        return cursor.fetchone()[0]


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def test_a_new_database_has_the_days_ahead():
    days = [one.start for one in partitions.listing(["usage_requestlog"]) if not one.is_default]
    assert days == [TODAY + DAY * offset for offset in range(-1, 8)]
    assert names()[-1] == "usage_requestlog_default"
    assert [one.start for one in partitions.listing(["usage_attempt"])][:-1] == days


def test_days_are_made_ahead_once():
    told = []
    later = clock.now() + DAY * 3
    made = partitions.ensure(9, now=later, progress=lambda *done: told.append(done))
    expected = [TODAY + DAY * offset for offset in range(8, 13)]
    assert made == [f"{table}_p{day:%Y%m%d}" for table in partitions.TABLES for day in expected]
    assert told == [(number, 10) for number in range(1, 11)]
    assert partitions.ensure(9, now=later) == []


def test_a_row_lies_in_the_partition_of_its_day():
    row = make_request(started_at=at(TODAY, 0))
    assert place_of(row) == f"usage_requestlog_p{TODAY:%Y%m%d}"
    assert place_of(make_attempt(started_at=at(TODAY))) == f"usage_attempt_p{TODAY:%Y%m%d}"


def test_a_row_of_a_wrong_clock_falls_into_the_net_and_moves_out_of_it():
    row = make_request(started_at=at(TODAY + DAY * 40))
    attempt = make_attempt(started_at=at(TODAY - DAY * 40))
    assert (place_of(row), place_of(attempt)) == (
        "usage_requestlog_default",
        "usage_attempt_default",
    )
    made = partitions.ensure()
    assert made == [
        f"usage_requestlog_p{TODAY + DAY * 40:%Y%m%d}",
        f"usage_attempt_p{TODAY - DAY * 40:%Y%m%d}",
    ]
    assert [place_of(row), place_of(attempt)] == made
    assert RequestLog.objects.get().started_at == row.started_at
    assert partitions.ensure() == []


def test_a_clock_that_is_years_off_gets_no_partition_of_its_own():
    row = make_request(started_at=at(date(2099, 1, 1)))
    assert partitions.ensure() == []
    assert place_of(row) == "usage_requestlog_default"


def test_ingest_goes_on_when_every_partition_is_missing(world):
    for table in partitions.TABLES:
        partitions.drop(table, before=TODAY + DAY * 30)
    assert names() == ["usage_requestlog_default"]
    one, now_ms = uuid7_bytes(), int(clock.wall_s() * 1000)
    path = world.write_dead(intent(one, at_ms=now_ms), start(one, at_ms=now_ms), settle(one))
    data = path.read_bytes()
    assert world.ingest() == 1
    assert place_of(RequestLog.objects.get()) == "usage_requestlog_default"
    partitions.ensure()
    world.write_bytes(data)
    world.ingest()  # a replay, which now meets another partition
    assert place_of(RequestLog.objects.get()) == f"usage_requestlog_p{TODAY:%Y%m%d}"
    assert world.is_balanced()


def test_only_whole_days_that_are_over_are_dropped():
    kept, gone = make_request(started_at=at(TODAY)), make_request(started_at=at(TODAY - DAY))
    dropped = partitions.drop("usage_requestlog", before=TODAY)
    assert dropped == [f"usage_requestlog_p{TODAY - DAY:%Y%m%d}"]
    assert list(RequestLog.objects.all()) == [kept]
    assert gone.pk not in RequestLog.objects.values_list("pk", flat=True)
    assert partitions.drop("usage_requestlog", before=TODAY) == []


@pytest.mark.django_db(transaction=True)
def test_a_lock_that_is_held_ends_in_an_error_and_the_next_call_goes_on(
    postgres_server, monkeypatch
):
    monkeypatch.setattr(partitions, "_TRIES", 1)
    monkeypatch.setattr(partitions, "_LOCK_TIMEOUT", "50ms")
    make_request(started_at=at(TODAY + DAY * 50))
    name = connection.settings_dict["NAME"]
    with psycopg.connect(postgres_server.tcp_url(name)) as reader:
        reader.execute("SELECT count(*) FROM usage_requestlog")  # holds its locks until the end
        with pytest.raises(OperationalError, match="lock timeout"):
            partitions.ensure()
    assert partitions.ensure() == [f"usage_requestlog_p{TODAY + DAY * 50:%Y%m%d}"]
    partitions.drop("usage_requestlog", before=TODAY + DAY * 60)
    partitions.ensure()


def test_sizes_and_rows_are_told():
    make_request(started_at=at(TODAY))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE usage_requestlog")
    (today,) = [one for one in partitions.listing() if one.rows]
    assert (today.table, today.start, today.end) == ("usage_requestlog", TODAY, TODAY + DAY)
    assert today.size_bytes > 8192


def test_the_command_lists_them_and_makes_what_is_missing(capsys):
    partitions.drop("usage_attempt", before=TODAY + DAY)
    call_command("partitions", "--ensure")
    told = capsys.readouterr().out
    assert "2 made." in told
    assert f"usage_attempt_p{TODAY:%Y%m%d}" in told
    assert "usage_requestlog_default" in told
