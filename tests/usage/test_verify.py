import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.billing import ledger, ledger_guard
from apps.billing.models import Budget, BudgetWindow, LedgerEntry
from apps.providers.adapters.contract import Usage
from apps.usage.models import (
    HourlyRollup,
    JournalCursor,
    LatencyHour,
    OpenIntent,
    RequestLog,
    TagHour,
)
from apps.usage.verify import ALL, verify
from chatvault.lib import clock
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


def adjusted(**changes: Any) -> None:
    one = last_of("margin").request_id
    made = ledger.adjust(request_id=one, charged_delta=-10, author="alice", reason="goodwill")
    LedgerEntry.objects.filter(pk__in=[entry.pk for entry in made]).update(
        **({"kind": "adjustment"} | changes)
    )


def orphan(age: timedelta) -> None:
    one = OpenIntent.objects.create(request_id=UUID(int=7), owner="nobody", record=b"")
    OpenIntent.objects.filter(pk=one.pk).update(created_at=clock.now() - age)


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
    "a sum that no row has": lambda: HourlyRollup.objects.create(
        hour=HourlyRollup.objects.latest("hour").hour + timedelta(days=2),
        **{"team_id": 31, "client_id": 21, "key_id": 11, "alias": "smart"},
    ),
    "a histogram counts more": lambda: LatencyHour.objects.update(count=7),
    "a tag has a sum": lambda: TagHour.objects.create(
        hour=HourlyRollup.objects.latest("hour").hour,
        **{"tag": "project=atlas", "team_id": 31, "client_id": 21, "alias": "smart"},
    ),
    "a rollup went to another key": lambda: HourlyRollup.objects.update(key_id=12),
    "a budget has spent less": lambda: BudgetWindow.objects.update(settled_nano=1),
    "an adjustment has no author": lambda: adjusted(author_name=""),
    "an adjustment has no reason": lambda: adjusted(reason=""),
    "an adjustment is another client's": lambda: adjusted(client_id=22),
    "an adjustment is gone": lambda: (
        adjusted(),
        adjusted(),
        LedgerEntry.objects.filter(number=2).delete(),
    ),
    "an adjustment is of nobody's": lambda: adjusted(request_id=UUID(int=5)),
    "a request stays open": lambda: orphan(timedelta(hours=25)),
    "a segment never came": lambda: JournalCursor.objects.create(
        segment=JournalCursor.objects.latest("pk").segment.replace("00000001", "00000003")
    ),
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


def test_an_hour_that_differs_is_shown_with_both_its_sums(booked):
    HourlyRollup.objects.update(requests=6)
    finding = next(one for one in verify() if one.code == "rollups")
    assert (finding.checked, finding.differences) == (1, 1)
    (example,) = finding.examples
    assert "(6, " in example.text.partition(" kept, ")[0]
    assert "(3, " in example.text.partition(" kept, ")[2]
    assert (example.kind, example.ref) == ("hour", HourlyRollup.objects.get().hour.isoformat())


def test_what_is_in_order_is_no_difference(booked):
    adjusted()
    adjusted()
    orphan(timedelta(hours=23))
    assert [finding.name for finding in verify() if finding.differences] == []


def test_json_is_for_machines(booked, capsys):
    call_command("verify_ledger", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["clean"] is True
    assert {"name", "checked", "differences", "examples", "code", "note"} == set(
        told["findings"][0]
    )
    RequestLog.objects.update(charged_nano=1)
    with pytest.raises(SystemExit):
        call_command("verify_ledger", "--json")
    told = json.loads(capsys.readouterr().out)
    wrong = {found["code"]: found["examples"] for found in told["findings"] if found["differences"]}
    assert (told["clean"], wrong.keys()) == (False, {"charged", "rollups"})
    assert (len(wrong["charged"]), wrong["charged"][0]["kind"]) == (3, "request")


@pytest.fixture
def computed(world):
    """Ten requests that were charged by their price, and one whose price version is gone."""
    usage = {"usage": Usage(input_tokens=1000, output_tokens=500)}
    owed = {"cost_nano": 450_000, "charged_nano": 450_000}
    for price_id in (*[61] * 10, 99):
        one = uuid7_bytes()
        begun = start(one, price_id=price_id)
        world.write_dead(intent(one), begun, settle(one, price_id=price_id, **usage, **owed))
    world.ingest()
    return world


def formula(count: int) -> tuple[int, int, str]:
    [found] = [each for each in verify(formula=count) if each.code == "formula"]
    return found.checked, found.differences, found.note


def test_cost_is_computed_again_from_the_price_version(computed):
    gone = "1 requests whose price version or terms are gone were left out"
    assert formula(ALL) == (10, 0, gone)
    one = RequestLog.objects.filter(price_id=61).latest("pk")
    RequestLog.objects.filter(pk=one.pk).update(output_tokens=501)
    assert formula(ALL) == (10, 1, gone)
    [found] = [
        each for one in verify(formula=ALL) if one.code == "formula" for each in one.examples
    ]
    assert (found.kind, found.ref) == ("request", str(one.request_id))
    assert "cost 450000, by its formula 450600" in found.text


def test_of_some_requests_only(computed):
    checked, _, _ = formula(3)
    assert 2 <= checked <= 5
    assert all(found.code != "formula" for found in verify())


def test_a_count_that_is_none(booked):
    with pytest.raises(CommandError, match="count of requests"):
        call_command("verify_ledger", "--formula", "some")
