"""Running sums of budgets follow the ledger."""

from datetime import UTC, datetime

from apps.billing.models import Budget, BudgetWindow
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import AT_MS, intent, settle, start


def whole(**changes):
    one = uuid7_bytes()
    return [intent(one, **changes), start(one), settle(one)]


def test_budgets_of_every_scope_and_period_follow(world):
    for scope in ({"team_id": 31}, {"client_id": 21}, {"key_id": 11}):
        for period in ("day", "month", "total"):
            Budget.objects.create(**scope, amount_nano=10**9, period=period)
    world.write_dead(*whole(), *whole(at_ms=AT_MS - 40 * 86_400_000))
    world.ingest()
    world.write_dead(*whole())
    world.ingest()
    sums = BudgetWindow.objects.filter(budget__team_id=31).order_by("budget_id", "starts_at")
    assert list(sums.values_list("budget__period", "starts_at", "settled_nano")) == [
        ("day", datetime(2026, 8, 12, tzinfo=UTC), 40_425),
        ("day", datetime(2026, 9, 21, tzinfo=UTC), 80_850),
        ("month", datetime(2026, 8, 1, tzinfo=UTC), 40_425),
        ("month", datetime(2026, 9, 1, tzinfo=UTC), 80_850),
        ("total", datetime(1970, 1, 1, tzinfo=UTC), 121_275),
    ]
    assert BudgetWindow.objects.count() == 15
    assert world.is_balanced()


def test_a_budget_made_later_counts_what_its_period_has_spent(world):
    world.write_dead(*whole())
    world.ingest()
    Budget.objects.create(client_id=21, amount_nano=10**9, period="month")
    world.write_dead(*whole())
    world.ingest()
    assert BudgetWindow.objects.get().settled_nano == 2 * 40_425
    assert world.is_balanced()


def test_a_budget_with_another_period_or_scope_is_summed_anew(world):
    budget = Budget.objects.create(client_id=21, amount_nano=10**9, period="month")
    world.write_dead(*whole(), *whole(client_id=22))
    world.ingest()
    budget.period = "day"
    budget.save()
    assert BudgetWindow.objects.count() == 0
    world.write_dead(*whole())
    world.ingest()
    window = BudgetWindow.objects.get()
    assert (window.starts_at.day, window.settled_nano) == (21, 80_850)
    budget.client_id, budget.team_id = None, 31
    budget.save()
    world.write_dead(*whole())
    world.ingest()
    assert BudgetWindow.objects.get().settled_nano == 4 * 40_425
    budget.amount_nano = 1
    budget.save()
    assert BudgetWindow.objects.count() == 1
    assert world.is_balanced()
