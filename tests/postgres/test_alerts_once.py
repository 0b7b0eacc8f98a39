"""Two workers at the same moment: a thing is told once, a line once, a delivery sent once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from apps import alerts
from apps.alerts import budgets, delivery
from apps.alerts.models import Alert, Delivery
from apps.billing.models import BudgetWindow
from tests.alerts.conftest import configure, receiver
from tests.factories import make_budget
from tests.factories.alerts import make_channel
from tests.fakes.receiver import Receiver

__all__ = ["configure", "receiver"]
pytestmark = pytest.mark.django_db(transaction=True)
TIMES = 10
NOW = datetime(2026, 9, 21, 13, 7, tzinfo=UTC)


def together(work: Callable[[], Any]) -> list[Any]:
    """The same in two threads that begin at the same moment."""
    start = Barrier(2)

    def run() -> Any:
        start.wait(5)
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        return [future.result(20) for future in [threads.submit(run) for _ in range(2)]]


def test_a_thing_that_two_find_is_told_once() -> None:
    make_channel()
    for number in range(TIMES):
        one, two = together(
            lambda key=f"found:{number}": alerts.tell(
                "price.unpriced", key=key, title="t", text="t", team_id=None, facts={}
            )
        )
        assert one == two
    assert list(Alert.objects.values_list("count", flat=True)) == [2] * TIMES
    assert Delivery.objects.count() == TIMES


def test_a_line_that_two_see_reached_is_told_once() -> None:
    for _ in range(TIMES):
        budget = make_budget(amount_nano=10)
        BudgetWindow.objects.create(
            budget=budget, starts_at=datetime(2026, 9, 1, tzinfo=UTC), settled_nano=9
        )
        assert sorted(together(lambda: budgets.look(NOW))) == [0, 1]
    assert Alert.objects.count() == TIMES


def test_a_delivery_that_two_want_to_send_is_sent_once(receiver: Receiver) -> None:
    for _ in range(3):
        make_channel(url=receiver.url)
    for number in range(TIMES):
        alerts.tell("price.unpriced", key=str(number), title="t", text="t", team_id=None, facts={})
    assert sum(together(delivery.deliver_due)) == 3 * TIMES
    ids = [taken.headers["x-chatvault-delivery"] for taken in receiver.taken]
    assert len(ids) == len(set(ids)) == 3 * TIMES
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}
