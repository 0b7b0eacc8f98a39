"""The claim of the one beat is a lock of PostgreSQL, which frees it when the connection ends."""

import pytest
from django.db import connection

from chatvault.scheduler import FileClaim, PostgresClaim, make_claim

pytestmark = pytest.mark.django_db


def test_one_beat_holds_it_and_another_takes_over() -> None:
    first, second = PostgresClaim(), PostgresClaim()
    try:
        assert [first.hold(), second.hold(), first.hold(), second.hold()] == [True, False] * 2
        with connection.cursor() as cursor:  # as a failover or an impatient operator does
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                " AND pid <> pg_backend_pid()"
            )
        assert first.hold() is False
        assert second.hold() is True
        assert first.hold() is False
    finally:
        first.release()
        second.release()


def test_it_is_what_beats_of_postgresql_use() -> None:
    assert isinstance(make_claim(), PostgresClaim)
    assert not isinstance(make_claim(), FileClaim)
