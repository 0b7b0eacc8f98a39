"""Many corrections of one cause: once each, whole chunks, never more back than was charged."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction

from apps.accounts.models import Client, Team
from apps.billing import budget_windows, ledger
from apps.billing.ledger import Corrected, Correction, PeriodClosed, Standing
from apps.billing.models import Budget, BudgetWindow, ClosedPeriod, LedgerEntry
from chatvault.lib import clock

AT = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
ONES = [UUID(int=number) for number in range(1, 6)]
WHY = {"batch_id": "repricing:1", "author": "alice", "reason": "prices were wrong"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def booked() -> Budget:
    """Five requests that were charged 1,000 and cost 900 each, and a budget that knows."""
    team = Team.objects.create(pk=31, name="research")
    client = Client.objects.create(pk=21, name="notebook", team=team)
    budget = Budget.objects.create(client=client, amount_nano=10**9, period="month")
    for number, one in enumerate(ONES):
        for account, amount in ledger.split(900, 1000):
            LedgerEntry.objects.create(
                request_id=one, account=account, amount_nano=amount, client_id=21, team_id=31,
                key_id=11, provider_name="openai", booked_at=AT + timedelta(seconds=number),
            )  # fmt: skip
    budget_windows.book([_charge(1000) for _ in ONES], AT)
    return budget


def _charge(nano_usd: int) -> budget_windows.Charge:
    return budget_windows.Charge(31, 21, 11, int(AT.timestamp()), nano_usd)


def corrections(charged: int = -100, cost: int = -90) -> list[Correction]:
    return [Correction(one, charged, cost) for one in ONES]


def adjustments() -> list[tuple[UUID, int, str, int]]:
    rows = LedgerEntry.objects.filter(kind="adjustment").order_by("pk")
    return list(rows.values_list("request_id", "number", "account", "amount_nano"))


def settled(budget: Budget) -> dict[datetime, int]:
    return dict(BudgetWindow.objects.filter(budget=budget).values_list("starts_at", "settled_nano"))


SEPTEMBER = datetime(2026, 9, 1, tzinfo=UTC)


def test_each_request_is_corrected_and_budgets_follow(booked):
    told: list[int] = []
    done = ledger.adjust_many(corrections(), **WHY, chunk=2, progress=told.append)
    assert done == Corrected(5, 0, -450, -500)
    assert told == [2, 4, 5]
    assert adjustments()[:3] == [
        (ONES[0], 2, "client", 100),
        (ONES[0], 2, "provider", -90),
        (ONES[0], 2, "margin", -10),
    ]
    entry = LedgerEntry.objects.filter(kind="adjustment").latest("pk")
    assert (entry.batch_id, entry.author_name, entry.reason) == (
        "repricing:1", "alice", "prices were wrong",
    )  # fmt: skip
    assert (entry.booked_at, entry.key_id, entry.provider_name) == (
        AT + timedelta(seconds=4), 11, "openai",
    )  # fmt: skip
    assert settled(booked) == {SEPTEMBER: 4500}


def test_a_batch_that_was_stopped_is_finished_by_booking_it_again(booked):
    def stop(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.adjust_many(corrections(), **WHY, chunk=2, progress=stop)
    assert len(adjustments()) == 12
    assert ledger.adjust_many(corrections(), **WHY, chunk=2) == Corrected(1, 4, -90, -100)
    assert ledger.adjust_many(corrections(), **WHY, chunk=3) == Corrected(0, 5, 0, 0)
    assert settled(booked) == {SEPTEMBER: 4500}
    assert len(adjustments()) == 15


def test_another_batch_corrects_the_same_requests_again(booked):
    ledger.adjust_many(corrections(), **WHY)
    ledger.adjust_many(corrections(100, 90), **(WHY | {"batch_id": "repricing:1:undo"}))
    assert {number for _, number, _, _ in adjustments()} == {2, 3}
    assert settled(booked) == {SEPTEMBER: 5000}


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (Correction(ONES[4], -1001), ValueError, "more than was charged"),
        (Correction(ONES[4], 0, -901), ValueError, "less than nothing"),
        (Correction(UUID(int=99), -1), LedgerEntry.DoesNotExist, "never booked"),
        (Correction(ONES[3], -1), ValueError, "once"),
    ],
    ids=["charge", "cost", "unknown", "twice"],
)
def test_a_chunk_with_a_wrong_correction_is_not_booked(booked, wrong, error, message):
    asked = [*corrections()[:4], wrong]
    with pytest.raises(error, match=message):
        ledger.adjust_many(asked, **WHY, chunk=5)
    assert adjustments() == []
    assert settled(booked) == {SEPTEMBER: 5000}


@pytest.mark.parametrize("lacking", ["author", "reason", "batch_id"])
def test_a_batch_names_its_cause(booked, lacking):
    with pytest.raises(ValueError):
        ledger.adjust_many(corrections(), **(WHY | {lacking: ""}))
    assert adjustments() == []


def close(team_id: int | None = None) -> ClosedPeriod:
    return ClosedPeriod.objects.create(
        team_id=team_id, starts_at=SEPTEMBER, ends_at=datetime(2026, 10, 1, tzinfo=UTC)
    )


@pytest.mark.parametrize("team_id", [None, 31], ids=["all", "own"])
def test_closed_books_take_credit_notes_only(booked, team_id):
    close(team_id)
    with pytest.raises(PeriodClosed, match=r"2026-09-01 to 2026-10-01.*credit note"):
        ledger.adjust_many(corrections(), **WHY)
    with pytest.raises(PeriodClosed):
        ledger.adjust(request_id=ONES[0], charged_delta=-1, author="alice", reason="goodwill")
    assert adjustments() == []
    now = clock.now()
    ledger.adjust_many(corrections(), **WHY, booked_at=now)
    assert set(LedgerEntry.objects.filter(kind="adjustment").values_list("booked_at")) == {(now,)}
    assert settled(booked)[SEPTEMBER] == 5000
    assert sum(settled(booked).values()) == 4500


def test_another_teams_closed_books_do_not_matter(booked):
    close(32)
    assert ledger.adjust_many(corrections(), **WHY).booked == 5


def test_a_credit_note_is_not_dated_into_closed_books(booked):
    close()
    with pytest.raises(PeriodClosed):
        ledger.adjust_many(corrections(), **WHY, booked_at=AT)


def test_a_standing_amount_belongs_to_no_request(booked):
    rebate = Standing(UUID(int=77), 31, 21, 11, "openai", AT, charged_delta=-70)
    with pytest.raises(ValueError, match="begins with standing:"):
        ledger.adjust_many([rebate], **WHY)
    first, again = WHY | {"batch_id": "standing:1"}, WHY | {"batch_id": "standing:2"}
    assert ledger.adjust_many([rebate], **first) == Corrected(1, 0, 0, -70)
    assert ledger.adjust_many([rebate], **first) == Corrected(0, 1, 0, 0)
    ledger.adjust_many([Standing(UUID(int=77), 31, 21, 11, "openai", AT, 20)], **again)
    assert [row[1:] for row in adjustments()] == [
        (2, "client", 70), (2, "margin", -70), (3, "client", -20), (3, "margin", 20),
    ]  # fmt: skip
    assert settled(booked) == {SEPTEMBER: 4950}


def test_the_database_books_a_request_once_in_a_batch(booked):
    ledger.adjust_many(corrections()[:1], **WHY)
    first = LedgerEntry.objects.filter(kind="adjustment").first()
    assert first is not None
    first.pk, first.number = None, 9
    with pytest.raises(IntegrityError), transaction.atomic():
        first.save(force_insert=True)
