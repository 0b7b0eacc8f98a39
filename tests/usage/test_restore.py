from datetime import UTC, datetime, timedelta

import pytest

from apps.billing.limits import BudgetState
from apps.billing.models import Budget, BudgetWindow
from apps.usage.models import JournalCursor
from apps.usage.restore import Pending, budget_state, costs_of, restore_budgets
from chatvault.lib import clock
from chatvault.lib.ids import uuid7_bytes
from tests.factories import make_alias, make_provider
from tests.usage.samples import intent, progress, settle, start

MONTH = datetime(2026, 9, 1, tzinfo=UTC)
MONTH_S = int(MONTH.timestamp())


@pytest.fixture(autouse=True)
def in_september(monkeypatch):
    monkeypatch.setattr(clock, "wall_s", (MONTH + timedelta(days=20)).timestamp)


@pytest.fixture
def budget(world):
    return Budget.objects.create(client_id=21, amount_nano=10**9, period="month")


def settled(charged_nano: int, **changes):
    one = uuid7_bytes()
    return [
        intent(one, **changes),
        start(one),
        settle(one, charged_nano=charged_nano, cost_nano=charged_nano),
    ]


def state(world, budget, **options):
    (only,) = budget_state([budget.pk], directory=world.folder, **options)
    return only


def test_an_unused_budget_has_spent_nothing(world, budget):
    assert state(world, budget) == BudgetState(budget.pk, MONTH_S, 0)


def test_what_is_in_no_database_yet_counts(world, budget, journal):
    journal.append(*settled(100), *settled(20))
    assert state(world, budget).settled_nano == 120


def test_what_is_shipped_counts_once(world, budget, journal):
    journal.append(*settled(100))
    world.ingest()
    journal.append(*settled(20))
    assert state(world, budget).settled_nano == 120
    world.ingest()
    assert state(world, budget).settled_nano == 120
    journal.close()
    world.ingest()
    assert state(world, budget).settled_nano == 120


def test_a_cursor_that_was_set_back_does_not_count_twice(world, budget, journal):
    journal.append(*settled(100))
    world.ingest()
    JournalCursor.objects.update(offset=0)
    assert state(world, budget).settled_nano == 100


def test_a_settlement_after_the_cursor_finds_its_request_before_it(world, budget, journal):
    records = settled(100)
    journal.append(*records[:2])
    world.ingest()
    journal.append(records[2])
    assert state(world, budget).settled_nano == 100


def test_a_settlement_finds_its_request_in_the_database(world, budget):
    journal = world.open_journal(segment_bytes=1000)
    records = settled(100)
    journal.append(*records[:2])
    for _ in range(10):
        journal.append(*settled(1))
    world.ingest()
    journal.append(records[2])
    assert state(world, budget).settled_nano == 110
    journal.close()
    assert state(world, budget).settled_nano == 110


def test_open_requests_of_the_dead_count_at_the_most_they_can_cost(world, budget, journal):
    sent, unsent = uuid7_bytes(), uuid7_bytes()
    journal.append(intent(sent, reserved_nano=5_000), start(sent), progress(sent, 3))
    journal.append(intent(unsent, reserved_nano=7_000))
    assert state(world, budget).settled_nano == 0
    journal.close()
    assert state(world, budget).settled_nano == 5_000
    world.ingest()
    assert state(world, budget).settled_nano == 15_000 + 1_800


def test_other_scopes_and_periods_do_not_count(world, budget, journal):
    august = int((MONTH - timedelta(hours=1)).timestamp() * 1000)
    journal.append(*settled(100, client_id=22), *settled(10, at_ms=august), *settled(1))
    assert state(world, budget).settled_nano == 1
    world.ingest()
    assert state(world, budget).settled_nano == 1


def test_a_budget_without_a_window_is_summed_from_the_ledger(world, journal):
    journal.append(*settled(100))
    world.ingest()
    team = Budget.objects.create(team_id=31, amount_nano=10**9, period="total")
    assert BudgetWindow.objects.count() == 0
    assert state(world, team) == BudgetState(team.pk, 0, 100)


def test_all_budgets_are_told_when_none_is_named(world, budget, journal):
    other = Budget.objects.create(key_id=11, amount_nano=10**9, period="day")
    journal.append(*settled(100))
    states = {one.budget_id: one.settled_nano for one in budget_state(directory=world.folder)}
    assert states == {budget.pk: 100, other.pk: 100}


def test_without_a_journal_folder_the_database_is_all(world, budget, tmp_path):
    (only,) = budget_state([budget.pk], directory=tmp_path / "none")
    assert only.settled_nano == 0


def test_what_a_dead_process_left_open_is_known_until_it_is_settled(world, budget):
    one, answered = uuid7_bytes(), settled(100)
    left = intent(one, reserved_nano=50_000)
    world.write_dead(left, start(one), *answered)
    restored = restore_budgets([budget.pk], directory=world.folder)
    assert restored.pending == [Pending(one, ((budget.pk, MONTH_S),), 50_000)]
    assert restored.states == [BudgetState(budget.pk, MONTH_S, 50_100)]
    assert costs_of([one]) == {}
    world.ingest()
    cost = costs_of([one])[one]
    again = restore_budgets([budget.pk], directory=world.folder)
    assert again.pending == []
    assert again.states == [BudgetState(budget.pk, MONTH_S, 100 + cost)]
    assert cost == 15_000


def test_what_is_not_booked_counts_on_its_person_model_provider_and_tag(world, journal):
    """As the rows will have it: the provider is that of the deployment which was called."""
    alias = make_alias(name="gpt-4o-mini")
    scopes = {"alias_id": alias.pk, "provider_id": 71, "tag": "env=prod"}
    right = budgets_on(scopes)
    wrong = budgets_on({"provider_id": make_provider().pk, "tag": "env=test"})
    journal.append(*settled(100, tags=(("env", "prod"),)))
    for booked in (False, True):
        if booked:
            world.ingest()
        found = {one.budget_id: one.settled_nano for one in budget_state(directory=world.folder)}
        assert [found[budget] for budget in right] == [100] * len(right)
        assert [found[budget] for budget in wrong] == [0] * len(wrong)


def budgets_on(scopes):
    return [
        Budget.objects.create(amount_nano=10**9, period="month", **{kind: target}).pk
        for kind, target in scopes.items()
    ]
