"""What a month's volume gives back, and what late requests change of it."""

from datetime import UTC, datetime

import pytest
from django.db.models import Sum

from apps.accounts.models import Client
from apps.billing.models import BudgetWindow, ClosedPeriod, LedgerEntry, Price, PricingTier
from apps.repricing import volume
from apps.repricing.volume import Rebate
from apps.usage.models import HourlyRollup
from chatvault.lib import clock
from tests.repricing.conftest import COST, book
from tests.usage.samples import AT_MS

MONTH = datetime(2026, 9, 1, tzinfo=UTC)
HALF_ABOVE = {"kind": "graduated", "steps": [{"above": 2250, "factor_ppm": 500_000}]}
"""Of 4,500 tokens the second half costs half: a quarter of what was charged comes back."""


@pytest.fixture
def client(priced) -> Client:
    tier = PricingTier.objects.get(pk=41)
    tier.volume = HALF_ABOVE
    tier.save()
    return Client.objects.select_related("tier").get(pk=21)


@pytest.fixture
def tokens(client) -> tuple[int, int]:
    """Tokens and charge of the client's month, by the hourly sums."""
    sums = HourlyRollup.objects.filter(client_id=21).aggregate(
        i=Sum("input_tokens"), o=Sum("output_tokens"), c=Sum("charged_nano")
    )
    return sums["i"] + sums["o"], sums["c"]


def due(tokens: int, charged: int) -> int:
    """By hand: what is above 2,250 tokens costs half; half-up."""
    doubled = charged * tokens * 2 - charged * (tokens - 2250)
    cost = (2 * doubled + 2 * tokens) // (4 * tokens)
    return cost - charged


def rebates() -> int:
    rows = LedgerEntry.objects.filter(batch_id__startswith="standing:volume", account="client")
    return -sum(rows.values_list("amount_nano", flat=True))


def test_a_month_gives_back_what_its_schedule_says(priced, client, tokens):
    done = volume.book_client(client, MONTH)
    assert done == Rebate(tokens[0], due(*tokens), due(*tokens), 1)
    assert rebates() == due(*tokens) < 0
    entry = LedgerEntry.objects.filter(batch_id="standing:volume:2026-09:21:1").latest("pk")
    assert (entry.booked_at.hour, entry.key_id, entry.alias, entry.author_name) == (
        14, 11, "gpt-4o-mini", "volume",
    )  # fmt: skip
    assert f"{tokens[0]:,} tokens of gpt-4o-mini" in entry.reason
    window = BudgetWindow.objects.get(budget__team_id=31)
    assert window.settled_nano == tokens[1] + due(*tokens)
    assert priced.is_balanced()


def test_again_it_books_nothing(client, tokens):
    volume.book_client(client, MONTH)
    assert volume.book_client(client, MONTH) == Rebate(tokens[0], due(*tokens), 0, 0)
    assert rebates() == due(*tokens)


def test_late_requests_book_the_difference(priced, client, tokens):
    volume.book_client(client, MONTH)
    first = rebates()
    book(priced, at_ms=AT_MS + 3_600_000)
    priced.ingest()
    more = (tokens[0] + 1500, tokens[1] + COST)
    done = volume.book_client(client, MONTH)
    assert (done.target_nano, done.booked_nano) == (due(*more), due(*more) - first)
    assert rebates() == due(*more)
    assert priced.is_balanced()


def test_what_is_no_longer_due_is_taken_back(priced, client, tokens):
    volume.book_client(client, MONTH)
    assert client.tier is not None
    client.tier.volume = None
    client.tier.save()
    done = volume.book_client(client, MONTH)
    assert (done.target_nano, done.booked_nano) == (0, -due(*tokens))
    assert rebates() == 0
    assert priced.is_balanced()


def test_closed_months_get_it_as_a_credit_note(priced, client, tokens):
    ClosedPeriod.objects.create(starts_at=MONTH, ends_at=datetime(2026, 10, 1, tzinfo=UTC))
    volume.book_client(client, MONTH)
    entry = LedgerEntry.objects.filter(batch_id__startswith="standing:").latest("pk")
    assert (entry.booked_at.year, entry.booked_at.date()) == (2026, clock.now().date())
    assert volume.book_client(client, MONTH).entries == 0
    assert rebates() == due(*tokens)


def test_a_price_has_a_schedule_of_its_own(client, tokens):
    PricingTier.objects.filter(pk=41).update(volume=None)
    Price.objects.filter(pk=61).update(volume=HALF_ABOVE)
    assert volume.book_month(MONTH, lambda done, total: None) == 1
    assert rebates() == due(*tokens)


def test_a_month_that_goes_on_is_refused(client):
    with pytest.raises(ValueError, match="has not ended"):
        volume.book_month(clock.now(), lambda done, total: None)
