"""What is left of a period holds in the next one without anybody changing anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apps.billing import rollover
from apps.billing.budget_use import uses_of
from apps.billing.models import Budget, BudgetWindow
from apps.billing.tasks import roll_budgets_over
from apps.configuration.models import Announcement
from apps.gateway.snapshot.build import build_snapshot
from chatvault.beat import TIMETABLE
from chatvault.lib import clock
from tests.factories import make_alias, make_budget

pytestmark = pytest.mark.django_db
USD = 10**9
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 27, tzinfo=UTC)


def made(at: datetime = NOON, **fields) -> Budget:
    budget = make_budget(**{"period": "day", "rolls_over": True, "amount_nano": 10 * USD} | fields)
    Budget.objects.filter(pk=budget.pk).update(created_at=at)
    budget.refresh_from_db()
    return budget


def looked(at: datetime) -> bool:
    """A look at that time; what it announces is dated so."""
    known = set(Announcement.objects.values_list("pk", flat=True))
    found = rollover.look(at)
    Announcement.objects.exclude(pk__in=known).update(created_at=at)
    return found


def test_a_window_that_began_is_announced_once_and_once_more_when_late_charges_are_booked():
    made()
    times = {0: True, 1: False, 9: False, 10: True, 11: False, 300: False, 900: False}
    assert not looked(MIDNIGHT - timedelta(minutes=1))
    for minutes, is_told in times.items():
        assert looked(MIDNIGHT + timedelta(minutes=minutes)) is is_told, minutes
    assert looked(MIDNIGHT + timedelta(days=1, seconds=59))


def test_what_others_announce_counts_as_well():
    made()
    row = Announcement.objects.create(topic="billing.limits")
    Announcement.objects.filter(pk=row.pk).update(created_at=MIDNIGHT + timedelta(seconds=20))
    assert not looked(MIDNIGHT + timedelta(seconds=40))


@pytest.mark.parametrize(
    "fields",
    [
        {"rolls_over": False},
        {"is_active": False},
        {"at": MIDNIGHT},
        {"time_zone": "America/Sao_Paulo"},
    ],
    ids=str,
)
def test_budgets_that_carry_nothing_announce_nothing(fields):
    made(**fields)
    assert not looked(MIDNIGHT + timedelta(minutes=1))


def test_the_carried_amount_is_in_the_limits_that_gateways_take_then():
    now, alias = clock.now(), make_alias()
    budget = made(at=now - timedelta(days=3), alias=alias)
    yesterday = (now - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    BudgetWindow.objects.create(budget=budget, starts_at=yesterday, settled_nano=4 * USD)
    assert uses_of([budget], now)[budget.pk].amount_nano == 16 * USD
    [limit] = build_snapshot().alias_limits[alias.pk].budgets
    assert [nano for _, nano in limit.rolled] == [6 * USD]


def test_the_job_of_every_minute_looks():
    now = clock.now()
    hour = now.hour  # in this zone it is past midnight, by less than an hour
    zone = f"Etc/GMT+{hour}" if hour <= 12 else f"Etc/GMT-{24 - hour}"
    made(at=now - timedelta(days=2), time_zone=zone)
    for _ in range(2):
        roll_budgets_over()
        assert Announcement.objects.filter(topic="billing.limits").count() == 1
    assert TIMETABLE["roll-budgets-over"].task == roll_budgets_over.name
