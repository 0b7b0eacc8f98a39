"""Statements and credit notes: every entry is in one of them, and none of them ever changes."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apps.billing import ledger
from apps.billing.models import ClosedPeriod, LedgerEntry
from apps.invoicing import documents, months, statements
from apps.invoicing.errors import InvoicingError, NoRate
from apps.invoicing.models import ExchangeRate, Statement
from apps.invoicing.tasks import issue_statements
from chatvault.lib import clock
from tests.factories import World, make_client, make_team
from tests.invoicing.pdf import text_of
from tests.invoicing.world import at, roll_up, spend

NANO = 10**9
AUGUST, SEPTEMBER = months.read("2026-08"), months.read("2026-09")
OCTOBER = months.read("2026-10")
IN_AUGUST, IN_SEPTEMBER = at(date(2026, 8, 15)), at(date(2026, 9, 15))
IN_OCTOBER = at(date(2026, 10, 15))
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _november(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 10, 9, 30, tzinfo=UTC))


def issue(world: World, month: months.Month, **options: Any) -> Statement:
    roll_up()
    return statements.issue(team=world.team, month=month, author="ada", **options)


def adjust(request_id: Any, charged: int, **options: Any) -> None:
    ledger.adjust(
        request_id=request_id, charged_delta=charged, author="ada", reason="wrong", **options
    )


def rows_of(statement: Statement, *, margins: bool = False) -> list[dict[str, str]]:
    file = statement.files.get(form="csv", shows_margins=margins)
    return list(csv.DictReader(io.StringIO(bytes(file.content).decode())))


def test_a_statement_says_what_each_client_used_of_each_model(world: World):
    spend(world, IN_SEPTEMBER, cost=NANO, charged=2 * NANO, input_tokens=7, output_tokens=3)
    request_id = spend(world, IN_SEPTEMBER, cost=NANO, charged=2 * NANO, input_tokens=1)
    spend(world, IN_OCTOBER, cost=NANO, charged=50 * NANO)
    spend(world, IN_SEPTEMBER, cost=0, charged=9 * NANO, team_id=make_team().pk)
    adjust(request_id, -NANO // 2)
    made = issue(world, SEPTEMBER)
    assert (made.reference, made.kind, made.requests) == ("ST-000001", "statement", 2)
    assert (made.charged_nano, made.adjusted_nano) == (4 * NANO, -NANO // 2)
    assert (made.total_nano, made.cost_nano) == (7 * NANO // 2, 2 * NANO)
    line = made.lines.get()
    assert (line.client_name, line.model) == (world.client.name, world.alias.name)
    assert (line.requests, line.input_tokens, line.output_tokens) == (2, 8, 8)
    first, total = rows_of(made)
    assert (first["charged_usd"], first["adjustments_usd"]) == ("4.000000000", "-0.500000000")
    assert (total["model"], total["total_usd"], total["currency"]) == (
        "total",
        "3.500000000",
        "USD",
    )
    assert "cost_usd" not in first
    assert rows_of(made, margins=True)[1]["margin_usd"] == "1.500000000"


def test_the_next_statement_takes_later_corrections_over_as_a_credit_note(world: World):
    request_id = spend(world, IN_AUGUST, cost=NANO, charged=10 * NANO)
    first = issue(world, AUGUST)
    adjust(request_id, -3 * NANO)
    spend(world, IN_AUGUST + timedelta(hours=1), cost=0, charged=NANO)  # came late
    spend(world, IN_SEPTEMBER, cost=NANO, charged=5 * NANO)
    second = issue(world, SEPTEMBER)
    note = Statement.objects.get(kind="credit_note")
    assert [first.number, note.number, second.number] == [1, 2, 3]
    assert (note.total_nano, note.listed_in) == (-2 * NANO, second)
    assert (second.charged_nano, second.credited_nano) == (5 * NANO, -2 * NANO)
    assert second.total_nano == 3 * NANO
    assert "Credit note ST-000002" in text_of(pdf_of(second))
    assert issue(world, OCTOBER).total_nano == 0


def test_a_credit_dated_in_the_open_month_is_credited_once(world: World):
    request_id = spend(world, IN_AUGUST, cost=NANO, charged=10 * NANO)
    issue(world, AUGUST)
    ClosedPeriod.objects.create(starts_at=AUGUST.starts_at, ends_at=AUGUST.ends_at)
    with pytest.raises(ledger.PeriodClosed):
        adjust(request_id, -NANO)
    adjust(request_id, -NANO, booked_at=IN_SEPTEMBER)
    note = statements.issue_credit_note(team=world.team, author="ada")
    assert (note.total_nano, note.kind) == (-NANO, "credit_note")
    with pytest.raises(InvoicingError, match="Nothing was corrected"):
        statements.issue_credit_note(team=world.team, author="ada")
    made = issue(world, SEPTEMBER)
    assert (made.adjusted_nano, made.credited_nano, made.total_nano) == (0, -NANO, -NANO)
    assert Statement.objects.count() == 3


def test_a_correction_of_cost_alone_needs_no_credit_note(world: World):
    request_id = spend(world, IN_AUGUST, cost=NANO, charged=10 * NANO)
    issue(world, AUGUST)
    adjust(request_id, 0, cost_delta=NANO)
    spend(world, IN_SEPTEMBER, cost=NANO, charged=NANO)
    made = issue(world, SEPTEMBER)
    assert (made.total_nano, made.cost_nano) == (NANO, 2 * NANO)
    assert issue(world, OCTOBER).cost_nano == 0


def test_statements_come_in_order_and_once(world: World):
    spend(world, IN_AUGUST, cost=NANO, charged=NANO)
    with pytest.raises(InvoicingError, match="2026-11 is not over"):
        issue(world, months.read("2026-11"))
    issue(world, AUGUST)
    with pytest.raises(InvoicingError, match="has a statement already: ST-000001"):
        issue(world, AUGUST)
    with pytest.raises(InvoicingError, match="Issue the statement of 2026-09 first"):
        issue(world, OCTOBER)
    with pytest.raises(InvoicingError, match="of a later month"):
        issue(world, months.read("2026-07"))
    assert Statement.objects.count() == 1


def test_sums_that_do_not_agree_with_the_ledger_issue_nothing(world: World):
    spend(world, IN_SEPTEMBER, cost=NANO, charged=NANO)
    roll_up()
    spend(world, IN_SEPTEMBER, cost=NANO, charged=1)
    with pytest.raises(InvoicingError, match="Nothing was issued"):
        statements.issue(team=world.team, month=SEPTEMBER, author="ada")
    assert not Statement.objects.exists()


def test_numbers_have_no_gap_when_an_issue_fails(world: World, monkeypatch: pytest.MonkeyPatch):
    spend(world, IN_AUGUST, cost=NANO, charged=NANO)
    issue(world, AUGUST)
    with monkeypatch.context() as patch:
        patch.setattr(documents, "as_pdf", lambda paper: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            issue(world, SEPTEMBER)
    assert issue(world, SEPTEMBER).number == 2


def test_an_issued_document_never_changes(world: World):
    spend(world, IN_AUGUST, cost=NANO, charged=NANO)
    made = issue(world, AUGUST)
    before = {file.pk: bytes(file.content) for file in made.files.all()}
    made.total_nano = 0
    with pytest.raises(TypeError, match="does not change"):
        made.save()
    with pytest.raises(TypeError, match="stays"):
        made.delete()
    world.client.name = "renamed"
    world.client.save()
    spend(world, IN_AUGUST, cost=NANO, charged=NANO)
    issue(world, SEPTEMBER)
    for file in Statement.objects.get(pk=made.pk).files.all():
        assert bytes(file.content) == before[file.pk]
        assert hashlib.sha256(bytes(file.content)).hexdigest() == file.digest


def test_the_total_in_a_currency_by_the_rate_of_the_months_last_day(world: World):
    spend(world, IN_AUGUST, cost=NANO, charged=10 * NANO)
    with pytest.raises(NoRate, match="EUR for 2026-08-31"):
        issue(world, AUGUST, currency="EUR")
    ExchangeRate.objects.create(currency="EUR", day=date(2026, 8, 28), rate="1.08")
    made = issue(world, AUGUST, currency="EUR")
    assert (made.currency, made.rate_day) == ("EUR", date(2026, 8, 28))
    assert made.total_currency_nano == 9_259_259_259
    assert "1 EUR = 1.08 USD on 2026-08-28" in text_of(pdf_of(made))
    assert rows_of(made)[-1]["total_in_currency"] == "9.259259259"


def test_one_client_has_a_series_of_its_own(world: World):
    other = make_client(team=world.team, name="other")
    spend(world, IN_AUGUST, cost=NANO, charged=NANO)
    spend(world, IN_AUGUST, cost=NANO, charged=5 * NANO, client_id=other.pk)
    whole = issue(world, AUGUST)
    one = issue(world, AUGUST, client=other)
    assert (whole.total_nano, one.total_nano, one.client_name) == (6 * NANO, 5 * NANO, "other")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Команда Ωμέγα", "Команда Ωμέγα"),
        ("開発部 Ä", "[U+958B][U+767A][U+90E8] Ä"),
        ("=1+1 (x) \\ é", "=1+1 (x) \\ é"),
    ],
    ids=["cyrillic_greek", "cjk", "latin"],
)
def test_names_in_any_script_can_be_read(world: World, name: str, shown: str):
    world.team.name = name
    world.team.save()
    spend(world, IN_AUGUST, cost=NANO, charged=1_234_567_890, client_name=name)
    made = issue(world, AUGUST)
    text = text_of(pdf_of(made))
    assert f"Team and cost centre: {shown}" in text
    assert "1.23" in text
    assert ("Letters that this document's font" in text) == ("U+" in shown)
    assert rows_of(made)[0]["team"] == (f"'{name}" if name.startswith("=") else name)


def test_amounts_of_a_document_have_as_many_places(world: World):
    spend(world, IN_AUGUST, cost=NANO, charged=12 * NANO)
    spend(world, IN_AUGUST, cost=NANO, charged=NANO // 1000, client_id=world.client.pk + 1)
    text = text_of(pdf_of(issue(world, AUGUST)))
    assert "12.000000" in text and "0.001000" in text  # lines
    assert "Total in USD 12.00" in text


def test_margins_are_in_files_of_their_own(world: World):
    spend(world, IN_AUGUST, cost=NANO, charged=3 * NANO)
    made = issue(world, AUGUST)
    assert "Margin" not in text_of(pdf_of(made))
    assert "Margin" in text_of(pdf_of(made, margins=True))


def test_the_job_issues_what_is_missing_and_names_what_it_could_not(world: World):
    spend(world, IN_AUGUST, cost=NANO, charged=NANO)
    idle = make_team(name="idle")
    roll_up()
    issue_statements(month="2026-08", currency="USD", author="ada")
    issue_statements(month="2026-08", currency="USD", author="ada")
    assert list(Statement.objects.values_list("team_id", flat=True)) == [world.team.pk]
    assert idle.pk not in Statement.objects.values_list("team_id", flat=True)


def test_months_that_begin_within_an_hour(world: World, settings: Any):
    from dataclasses import replace

    from chatvault.settings.invoicing import InvoicingSettings

    settings.CHATVAULT = replace(
        settings.CHATVAULT, invoicing=InvoicingSettings(time_zone="Asia/Kolkata")
    )
    edge = datetime(2026, 8, 31, 18, 30, tzinfo=UTC)  # where September begins there
    spend(world, edge - timedelta(seconds=1), cost=1, charged=3)
    spend(world, edge, cost=10, charged=30)
    spend(world, edge + timedelta(hours=2), cost=100, charged=300)
    assert issue(world, months.read("2026-08")).total_nano == 3
    assert issue(world, months.read("2026-09")).total_nano == 330


STEPS = st.tuples(
    st.sampled_from(["spend", "adjust", "dated", "issue", "note"]),
    st.integers(0, 2),
    st.integers(1, 1_000),
)


@settings(
    max_examples=int(os.environ.get("CHATVAULT_TEST_EXAMPLES", "6")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(steps=st.lists(STEPS, min_size=4, max_size=12))
def test_every_entry_is_in_one_document_exactly(world: World, steps: list[tuple[str, int, int]]):
    """Whatever comes late, and in whatever order: the statements sum to the ledger."""
    with patch.object(documents, "as_pdf", lambda paper: b""), transaction.atomic():
        happen(world, steps)
        check_coverage()
        transaction.set_rollback(True)


def happen(world: World, steps: list[tuple[str, int, int]]) -> None:
    days = [IN_AUGUST, IN_SEPTEMBER, IN_OCTOBER]
    requests = [spend(world, day, cost=5, charged=50_000) for day in days]
    left = [AUGUST, SEPTEMBER, OCTOBER]
    for verb, which, amount in steps:
        if verb == "spend":
            spend(world, days[which], cost=1, charged=amount)
        elif verb == "adjust":
            adjust(requests[which], -amount if which % 2 else amount)
        elif verb == "dated":
            adjust(requests[which], amount, cost_delta=1, booked_at=days[min(which + 1, 2)])
        elif verb == "issue" and left:
            issue(world, left.pop(0))
        elif verb == "note" and len(left) < 3:
            issue_note(world)
    for month in left:
        issue(world, month)
    issue_note(world)


def issue_note(world: World) -> None:
    try:
        statements.issue_credit_note(team=world.team, author="ada")
    except InvoicingError:
        return


def check_coverage() -> None:
    made = Statement.objects.all()
    charged = adjusted = 0
    for statement in made.filter(kind="statement"):
        charged += statement.charged_nano
        adjusted += statement.adjusted_nano
    notes = sum(made.filter(kind="credit_note").values_list("total_nano", flat=True))
    rows = LedgerEntry.objects.filter(account="client").values_list("amount_nano", flat=True)
    assert charged + adjusted + notes == -sum(rows)
    taken = sum(made.filter(kind="statement").values_list("credited_nano", flat=True))
    waiting = made.filter(kind="credit_note", listed_in=None)
    assert taken + sum(waiting.values_list("total_nano", flat=True)) == notes
    assert sorted(made.values_list("number", flat=True)) == list(range(1, made.count() + 1))


def pdf_of(statement: Statement, *, margins: bool = False) -> bytes:
    return bytes(statement.files.get(form="pdf", shows_margins=margins).content)
