"""Many writers at once make one chain without a gap, and what was undone leaves none."""

from __future__ import annotations

import random
import threading

import pytest
from django.db import connection, transaction

from apps.audit import trail
from apps.audit.models import AuditEvent, AuditHead
from apps.audit.verify import verify

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS, EACH = 8, 25


def write(number: int, failures: list[BaseException]) -> None:
    chance = random.Random(number)
    try:
        for step in range(EACH):
            try:
                with transaction.atomic():
                    trail.record("test.step", after={"writer": number, "step": step})
                    if chance.random() < 0.2:
                        raise KeyError("undone")
            except KeyError:
                continue
    except BaseException as failure:  # told by the test, whatever it is
        failures.append(failure)
    finally:
        connection.close()


def test_parallel_writers_make_a_chain_without_a_gap() -> None:
    failures: list[BaseException] = []
    threads = [threading.Thread(target=write, args=(number, failures)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    count = AuditEvent.objects.count()
    assert WRITERS * EACH * 0.6 < count < WRITERS * EACH
    assert list(AuditEvent.objects.order_by("id").values_list("id", flat=True)) == list(
        range(1, count + 1)
    )
    assert AuditHead.objects.get().last_id == count
    assert (verify().checked, verify().findings) == (count, 0)
    assert len({event.after["writer"] for event in AuditEvent.objects.all()}) == WRITERS
