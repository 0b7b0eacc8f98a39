"""Which providers have used up their budgets: by cost, as the ledger says."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apps.billing import adjustments, budget_windows
from apps.billing.budget_use import uses_of
from apps.billing.models import BudgetRaise, BudgetStage, BudgetWindow
from apps.billing.provider_budgets import left
from chatvault.lib import ids
from tests.factories.billing import make_budget, make_ledger_entry
from tests.factories.providers import make_provider

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 9, 21, 12, tzinfo=UTC)
MONTH_ENDS_S = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
MADE = datetime(2026, 1, 1, tzinfo=UTC)


def spent_out(now: datetime) -> dict[int, int]:
    """The providers that have nothing left, and until when."""
    return {one: until_s for one, (nano, until_s) in left(now).items() if not nano}


@pytest.fixture
def provider():
    return make_provider()


def budget_on(provider, **fields):
    row = make_budget(team=None, client=None, provider=provider, **{"amount_nano": 1000} | fields)
    type(row).objects.filter(pk=row.pk).update(created_at=MADE)
    row.refresh_from_db()
    return row


def spend(provider, cost: int, charged: int = 0, at: datetime = NOW):
    """As ingest books it."""
    one = ids.uuid7()
    for account, amount in (
        ("client", -charged), ("provider", cost), ("margin", charged - cost)
    ):  # fmt: skip
        make_ledger_entry(
            request_id=one, account=account, amount_nano=amount, booked_at=at,
            provider_id=provider.pk, number=0,
        )  # fmt: skip
    charge = budget_windows.Charge(
        1, 1, 1, int(at.timestamp()), charged, provider_id=provider.pk, cost_nano=cost
    )
    budget_windows.book([charge], at)
    return one


def test_what_it_costs_counts_and_not_what_is_charged(provider):
    row = budget_on(provider)
    spend(provider, cost=999, charged=5000)
    assert left(NOW) == {provider.pk: (1, MONTH_ENDS_S)}
    assert uses_of([row], NOW)[row.pk].spent_nano == 999
    spend(provider, cost=1)
    assert spent_out(NOW) == {provider.pk: MONTH_ENDS_S}
    window = BudgetWindow.objects.get()
    right = budget_windows.spent(
        budget_windows.window_of(budget_windows.scope_of(row), int(NOW.timestamp()))
    )
    assert window.settled_nano == right == 1000


def test_a_correction_of_the_cost_follows(provider):
    budget_on(provider)
    one = spend(provider, cost=900, charged=900)
    adjustments.adjust(
        request_id=one, charged_delta=0, cost_delta=100, author="ada", reason="the bill"
    )
    assert spent_out(NOW) == {provider.pk: MONTH_ENDS_S}
    adjustments.adjust(
        request_id=one, charged_delta=50, cost_delta=-1, author="ada", reason="the bill"
    )
    assert spent_out(NOW) == {}


def test_another_provider_and_another_period_do_not_count(provider):
    budget_on(provider)
    spend(make_provider(), cost=5000)
    spend(provider, cost=5000, at=NOW - timedelta(days=31))
    assert spent_out(NOW) == {}


def test_a_rolling_budget_counts_its_days(provider):
    budget_on(provider, period="rolling", length_days=10)
    spend(provider, cost=600, at=NOW - timedelta(days=5))
    spend(provider, cost=400)
    assert set(spent_out(NOW)) == {provider.pk}
    assert spent_out(NOW + timedelta(days=7)) == {}


def test_a_raise_gives_more_for_a_while(provider):
    row = budget_on(provider)
    spend(provider, cost=1000)
    BudgetRaise.objects.create(
        budget=row, extra_nano=1, starts_at=NOW - timedelta(hours=1), reason="launch",
        ends_at=NOW + timedelta(hours=1), author_name="ada", state="approved",
    )  # fmt: skip
    assert spent_out(NOW) == {}
    assert set(spent_out(NOW + timedelta(hours=2))) == {provider.pk}


@pytest.mark.parametrize(
    ("stages", "is_out"),
    [([("observe", 50)], False), ([("refuse", 120)], False), ([("refuse", 90)], True)],
)
def test_stages_say_where_it_ends(provider, stages, is_out):
    row = budget_on(provider)
    for action, percent in stages:
        BudgetStage.objects.create(budget=row, action=action, at_percent=percent)
    spend(provider, cost=1000)
    assert bool(spent_out(NOW)) is is_out


def test_one_that_is_off_limits_nothing_and_the_longest_of_two_counts(provider):
    off = budget_on(provider, is_active=False)
    budget_on(provider, period="day")
    spend(provider, cost=1000)
    tomorrow_s = int(datetime(2026, 9, 22, tzinfo=UTC).timestamp())
    assert spent_out(NOW) == {provider.pk: tomorrow_s}
    type(off).objects.filter(pk=off.pk).update(is_active=True)
    assert spent_out(NOW) == {provider.pk: MONTH_ENDS_S}


def test_as_many_queries_for_many_and_the_ledger_is_added_up_once(django_assert_num_queries):
    now = timezone.now()
    for count in (1, 4):
        for _ in range(count):
            make_budget(team=None, client=None, provider=make_provider(), amount_nano=1000)
        spent_out(now)
        with django_assert_num_queries(4):
            assert spent_out(now) == {}


def test_a_budget_counts_what_was_spent_before_it_was_made(provider):
    spend(provider, cost=1000, at=timezone.now())
    make_budget(team=None, client=None, provider=provider, amount_nano=1001)
    assert spent_out(timezone.now()) == {}
    spend(provider, cost=1, at=timezone.now())
    assert set(spent_out(timezone.now())) == {provider.pk}
