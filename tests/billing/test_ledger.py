from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from apps.billing import budget_windows, ledger, ledger_guard
from apps.billing.models import Budget, BudgetWindow, LedgerEntry

ONE = UUID("01a208e9-8ec6-7b9b-8e25-fe3129cd5773")
AT = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
PARTIES = ledger.Parties(ONE.hex, 21, 31, 11, "openai", ledger.as_text(AT))
NANO = st.integers(0, 2**63 - 1)


def charged(amount_nano: int = 1000, cost_nano: int = 900) -> None:
    rows = ledger.charge_entries(
        PARTIES, cost_nano=cost_nano, charged_nano=amount_nano, created_at=PARTIES.booked_at
    )
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            request_id=ONE,
            account=row.account,
            amount_nano=row.amount_nano,
            client_id=21,
            team_id=31,
            key_id=11,
            provider_name="openai",
            booked_at=AT,
        )
        for row in rows
    )


def entries() -> list[tuple[int, str, str, int]]:
    rows = LedgerEntry.objects.order_by("pk")
    return list(rows.values_list("number", "account", "kind", "amount_nano"))


@given(cost=NANO, charge=NANO)
def test_every_charge_balances_and_always_has_its_client(cost, charge):
    rows = ledger.charge_entries(PARTIES, cost_nano=cost, charged_nano=charge, created_at="")
    amounts = {row.account: row.amount_nano for row in rows}
    assert len(amounts) == len(rows)
    assert sum(amounts.values()) == 0
    assert amounts["client"] == -charge
    assert 0 not in [amount for account, amount in amounts.items() if account != "client"]


@pytest.mark.django_db
def test_an_adjustment_is_new_entries_with_author_and_reason():
    charged()
    made = ledger.adjust(
        request_id=ONE, charged_delta=-400, cost_delta=-100, author="alice", reason="wrong price"
    )
    assert entries()[3:] == [
        (2, "client", "adjustment", 400),
        (2, "provider", "adjustment", -100),
        (2, "margin", "adjustment", -300),
    ]
    assert {(entry.author_name, entry.reason) for entry in made} == {("alice", "wrong price")}
    ledger.adjust(request_id=ONE, charged_delta=-600, author="bob", reason="goodwill")
    assert entries()[6:] == [(3, "client", "adjustment", 600), (3, "margin", "adjustment", -600)]


@pytest.mark.django_db
def test_an_adjustment_moves_the_budgets_of_the_request():
    budget = Budget.objects.create(team=None, client=_client(), amount_nano=10**9, period="month")
    charged()
    charge = budget_windows.Charge(31, 21, 11, int(AT.timestamp()), 1000)
    budget_windows.book([charge], AT)
    ledger.adjust(request_id=ONE, charged_delta=-400, author="alice", reason="wrong price")
    window = BudgetWindow.objects.get(budget=budget)
    assert (window.starts_at, window.settled_nano) == (datetime(2026, 9, 1, tzinfo=UTC), 600)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"author": ""}, ValueError),
        ({"reason": ""}, ValueError),
        ({"charged_delta": -1001}, ValueError),
        ({"request_id": UUID(int=1)}, LedgerEntry.DoesNotExist),
    ],
)
def test_a_wrong_adjustment_changes_nothing(changes, error):
    charged()
    before = entries()
    asked = {"request_id": ONE, "charged_delta": -1, "author": "alice", "reason": "test"}
    with pytest.raises(error):
        ledger.adjust(**(asked | changes))
    assert entries() == before


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        lambda: LedgerEntry.objects.update(amount_nano=0),
        lambda: LedgerEntry.objects.all().delete(),
        lambda: LedgerEntry.objects.filter(account="client").update(reason="edited"),
    ],
)
def test_the_database_refuses_to_change_an_entry(change):
    charged()
    before = entries()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        change()
    assert entries() == before


@pytest.mark.django_db
def test_the_guard_can_be_taken_away_and_put_back():
    charged()
    ledger_guard.remove(connection)
    LedgerEntry.objects.filter(account="margin").delete()
    ledger_guard.install(connection)
    ledger_guard.install(connection)
    with pytest.raises(IntegrityError), transaction.atomic():
        LedgerEntry.objects.all().delete()


@pytest.mark.django_db
def test_an_entry_exists_once():
    charged()
    with pytest.raises(IntegrityError), transaction.atomic():
        charged()


def _client():
    from apps.accounts.models import Client, Team

    team = Team.objects.create(pk=31, name="research")
    return Client.objects.create(pk=21, name="notebook", team=team)
