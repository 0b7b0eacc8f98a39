import pytest
from django.core.management import call_command
from django.db import connection

from apps.billing import ledger_guard
from apps.billing.models import Budget, BudgetWindow, LedgerEntry
from apps.usage.models import HourlyRollup, RequestLog
from apps.usage.verify import verify
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import intent, settle, start


@pytest.fixture
def booked(world):
    Budget.objects.create(team_id=31, amount_nano=10**9, period="month")
    for _ in range(3):
        one = uuid7_bytes()
        world.write_dead(intent(one), start(one), settle(one))
    world.ingest()
    ledger_guard.remove(connection)
    return world


def test_a_system_in_order_is_told_so(booked, capsys):
    call_command("verify_ledger")
    said = capsys.readouterr().out
    assert "every request has its charge: 3 checked, ok" in said
    assert "entries of a request and number sum to zero: 9 checked, ok" in said
    assert "budget sums equal the ledger: 1 checked, ok" in said


def last_of(account: str) -> LedgerEntry:
    entry = LedgerEntry.objects.filter(account=account).last()
    assert entry is not None
    return entry


DAMAGES = {
    "an entry is gone": lambda: last_of("margin").delete(),
    "a charge is gone": lambda: LedgerEntry.objects.filter(
        request_id=last_of("client").request_id
    ).delete(),
    "a charge is another": lambda: LedgerEntry.objects.filter(account="client").update(
        amount_nano=-1
    ),
    "a charge moved to another team": lambda: LedgerEntry.objects.filter(account="client").update(
        team_id=32
    ),
    "a row is gone": lambda: RequestLog.objects.filter(
        request_id=last_of("client").request_id
    ).delete(),
    "a row costs more": lambda: RequestLog.objects.update(charged_nano=1),
    "a rollup counts twice": lambda: HourlyRollup.objects.update(requests=6),
    "a rollup is gone": lambda: HourlyRollup.objects.all().delete(),
    "a rollup went to another key": lambda: HourlyRollup.objects.update(key_id=12),
    "a budget has spent less": lambda: BudgetWindow.objects.update(settled_nano=1),
    "a charge is a credit": lambda: LedgerEntry.objects.filter(account="client").update(
        amount_nano=1
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_difference_is_found(booked, capsys, damage):
    assert [finding.name for finding in verify() if finding.differences] == []
    DAMAGES[damage]()
    with pytest.raises(SystemExit) as ended:
        call_command("verify_ledger")
    assert ended.value.code == 1
    assert "DIFFER" in capsys.readouterr().out
