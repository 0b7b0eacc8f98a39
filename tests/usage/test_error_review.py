"""Errors that came back are open again; a credential that works again is no trouble any more."""

from datetime import timedelta

import pytest

from apps.usage import error_review
from apps.usage.models import ErrorGroup, ErrorHour
from chatvault.lib import clock
from chatvault.lib.ids import uuid7_bytes
from tests.factories.usage import make_request
from tests.usage.samples import AT_MS, end, intent, settle, start

pytestmark = pytest.mark.django_db
State = ErrorGroup.State


def a_group(number: int = 1, **fields: object) -> ErrorGroup:
    now = clock.now()
    values = {
        "kind": "attempt", "code": error_review.CREDENTIAL_REFUSED, "deployment_id": 51,
        "count": 3, "first_seen": now - timedelta(hours=1), "last_seen": now,
    }  # fmt: skip
    return ErrorGroup.objects.create(pk=number, **(values | fields))


def test_what_was_resolved_and_came_back_is_open_again():
    ago = clock.now() - timedelta(minutes=5)
    a_group(1, state=State.RESOLVED, state_at=ago, state_by="admin")
    a_group(2, state=State.RESOLVED, state_at=clock.now() + timedelta(seconds=1))
    a_group(3, state=State.ACKNOWLEDGED, state_at=ago)
    assert error_review.review()["reopened"] == 1
    assert error_review.review()["reopened"] == 0
    assert [group.state for group in ErrorGroup.objects.order_by("pk")] == [
        State.OPEN, State.RESOLVED, State.ACKNOWLEDGED,
    ]  # fmt: skip
    assert ErrorGroup.objects.get(pk=1).reopened == 1


def test_a_credential_that_works_again_is_resolved():
    before = clock.now() - timedelta(minutes=5)
    a_group(1, last_seen=before)
    a_group(2, deployment_id=52)
    make_request(deployment_id=51, started_at=before - timedelta(minutes=1))
    assert error_review.review()["recovered"] == 0
    make_request(deployment_id=51)
    make_request(deployment_id=52, started_at=before)
    assert error_review.review()["recovered"] == 1
    group = ErrorGroup.objects.get(pk=1)
    assert (group.state, group.state_by) == (State.RESOLVED, error_review.RECOVERED)


def test_the_old_is_forgotten_and_the_open_is_kept():
    long_ago = clock.now() - timedelta(days=100)
    a_group(1, state=State.RESOLVED, state_at=long_ago, first_seen=long_ago, last_seen=long_ago)
    a_group(2, first_seen=long_ago, last_seen=long_ago)
    ErrorHour.objects.create(group_id=2, hour=long_ago, count=1)
    ErrorHour.objects.create(group_id=2, hour=clock.now(), count=1)
    assert error_review.review()["forgotten"] == 1
    assert list(ErrorGroup.objects.values_list("pk", flat=True)) == [2]
    assert ErrorHour.objects.count() == 1


def test_a_review_is_asked_for_where_there_were_errors(world, reviews):
    fine = uuid7_bytes()
    world.write_dead(intent(fine, deployment_id=51), settle(fine))
    world.ingest()
    assert reviews == []
    request_id, trace = uuid7_bytes(), b"t" * 16 + b"s" * 8 + b"\1"
    world.write_dead(
        intent(request_id, deployment_id=51, trace=trace),
        end(request_id, http_status=401, error_code=error_review.CREDENTIAL_REFUSED),
        start(request_id, 2, at_ms=AT_MS + 300),
        settle(request_id, attempts=2),
    )
    world.ingest()
    assert reviews == [(trace, request_id)]
