"""Made-up usage balances like real usage, and never mixes with it unasked."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.billing import pricing
from apps.billing.models import LedgerEntry, Price, PricingTier
from apps.providers.adapters.contract import Usage
from apps.usage.models import Attempt, HourlyRollup, LatencyHour, RequestLog, TagHour
from apps.usage.verify import verify
from tests.factories import make_request

pytestmark = pytest.mark.django_db
HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens"


def generate(**options):
    call_command("generate_usage", "--rows=600", "--days=3", "--until=2026-05-04", **options)


def test_requests_calls_ledger_and_sums_agree():
    generate()
    assert RequestLog.objects.count() == 600
    assert Attempt.objects.count() >= 600
    assert sum(HourlyRollup.objects.values_list("requests", flat=True)) == 600
    assert {finding.name: finding.differences for finding in verify() if finding.differences} == {}
    assert RequestLog.objects.filter(outcome="error", cost_nano=0).exists()
    assert LedgerEntry.objects.filter(kind="charge", account="margin").exists()
    assert RequestLog.objects.exclude(user_id=None).exists()


def test_money_is_what_billing_makes_of_the_tokens():
    generate()
    prices = {price.pk: price.version() for price in Price.objects.all()}
    rows = RequestLog.objects.exclude(outcome="error")
    markups = {tier.pk: int(tier.markup_percent * 10_000) for tier in PricingTier.objects.all()}
    for row in rows:
        usage = Usage(
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cached_input_tokens=row.cached_input_tokens,
            reasoning_tokens=row.reasoning_tokens,
        )
        terms = pricing.Terms(tier_id=row.tier_id, markup_ppm=markups[row.tier_id])
        bill = pricing.bill(usage, prices[row.price_id], terms)
        assert (bill.cost_nano, bill.charged_nano) == (row.cost_nano, row.charged_nano)


def test_the_same_seed_makes_the_same_usage_and_another_another():
    def tokens() -> list[int]:
        found = list(RequestLog.objects.order_by("started_at").values_list("input_tokens"))
        RequestLog.objects.all().delete()
        Attempt.objects.all().delete()
        for sums in (HourlyRollup, TagHour, LatencyHour):
            sums.objects.all().delete()
        return [number for (number,) in found]

    generate(seed=1)
    first = tokens()
    generate(seed=2, into_used_database=True)
    assert tokens() != first


def test_sizes_come_from_the_trace(tmp_path: Path):
    trace = tmp_path / "trace.csv"
    trace.write_text(f"{HEAD}\n2023-11-16 18:15:46.6805900,374,44\n")
    generate(trace=trace)
    rows = RequestLog.objects.exclude(outcome="error")
    assert set(rows.values_list("input_tokens", "output_tokens")) == {(374, 44)}


@pytest.mark.parametrize("text", ["a,b\n1,2\n", f"{HEAD}\n"], ids=["columns", "empty"])
def test_a_trace_that_is_none_is_refused(tmp_path: Path, text: str):
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    with pytest.raises(CommandError, match="The trace cannot be read"):
        generate(trace=trace)
    assert not RequestLog.objects.exists()


def test_a_database_with_real_requests_is_left_alone():
    make_request()
    with pytest.raises(CommandError, match="holds real requests"):
        generate()
    assert RequestLog.objects.count() == 1
    generate(into_used_database=True)
    assert RequestLog.objects.count() == 601
