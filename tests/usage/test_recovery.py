"""Requests whose process died are settled by what its journal knows."""

from apps.billing.models import Budget, BudgetWindow
from apps.usage.models import Attempt
from chatvault.lib.ids import uuid7_bytes
from tests.factories import make_tier
from tests.usage.samples import end, intent, progress, settle, start


def test_a_dead_process_leaves_interrupted_requests_that_are_charged(world, journal):
    sent, unsent, refused = uuid7_bytes(), uuid7_bytes(), uuid7_bytes()
    journal.append(intent(sent, markup_ppm=100_000), start(sent), progress(sent, 12))
    journal.append(progress(sent, 40))
    journal.append(intent(unsent))
    journal.append(intent(refused), start(refused), end(refused, http_status=429))
    assert world.ingest() == 0
    journal.close()
    assert world.ingest() == 3
    rows = world.requests()
    row = rows[sent]
    assert (row.outcome, row.usage_source, row.attempts) == ("interrupted", "estimated", 1)
    assert (row.input_tokens, row.output_tokens) == (100, 40)
    assert (row.cost_nano, row.charged_nano) == (15_000 + 24_000, 42_900)
    assert row.upper_bound_nano == 615_000
    assert row.deployment_name == "gpt-4o-mini@openai"
    for free in (rows[unsent], rows[refused]):
        assert (free.outcome, free.charged_nano, free.usage_source) == ("interrupted", 0, "none")
    assert world.segments() == []
    assert world.is_balanced()


def test_without_a_reservation_the_most_is_all_the_output_it_was_allowed(world):
    one = uuid7_bytes()
    world.write_dead(intent(one, reserved_nano=0, max_output_tokens=100), start(one))
    world.ingest()
    row = world.requests()[one]
    assert (row.charged_nano, row.upper_bound_nano) == (15_000, 15_000 + 60_000)


def test_an_intent_that_begins_the_first_attempt_needs_no_record_of_its_own(world):
    answered, fallen_back, dead = uuid7_bytes(), uuid7_bytes(), uuid7_bytes()
    first = {"deployment_id": 51, "price_id": 61}
    world.write_dead(
        *[intent(answered, **first), settle(answered)],
        *[intent(fallen_back, **first), end(fallen_back, http_status=500, error_code="broken")],
        *[start(fallen_back, 2, deployment_id=52), settle(fallen_back, attempts=2)],
        intent(dead, **first),
    )
    world.ingest()
    columns = ("number", "deployment_id", "duration_ms", "http_status", "error_code")
    attempts = Attempt.objects.order_by("number")
    assert list(attempts.filter(request_id=answered.hex()).values_list(*columns)) == [
        (1, 51, 210, 200, "")
    ]
    assert list(attempts.filter(request_id=fallen_back.hex()).values_list(*columns)) == [
        (1, 51, 205, 500, "broken"),
        (2, 52, 205, 200, ""),
    ]
    row = world.requests()[dead]
    assert (row.outcome, row.input_tokens, row.charged_nano) == ("interrupted", 100, 15_000)
    assert list(attempts.filter(request_id=dead.hex()).values_list(*columns)) == [
        (1, 51, None, None, "")
    ]


def test_an_unpriced_interrupted_request_costs_nothing(world):
    one = uuid7_bytes()
    world.write_dead(intent(one), start(one, price_id=0), progress(one, 10))
    world.ingest()
    assert world.entries(one) == [(0, "client", 0)]
    assert world.requests()[one].output_tokens == 10


def test_a_late_settlement_adjusts_an_interrupted_request_once(world):
    one = uuid7_bytes()
    Budget.objects.create(client_id=21, amount_nano=10**9, period="total")
    world.write_dead(intent(one), start(one), progress(one, 40))
    world.ingest()
    late = settle(one, cost_nano=30_000, charged_nano=30_000)
    for _ in range(2):
        world.write_dead(late)
        world.ingest()
    assert world.entries(one) == [
        (0, "client", -39_000),
        (0, "provider", 39_000),
        (1, "client", 9_000),
        (1, "provider", -9_000),
    ]
    assert BudgetWindow.objects.get().settled_nano == 30_000
    assert world.is_balanced()


def test_an_interrupted_request_is_charged_by_the_terms_it_was_admitted_by(world):
    tier = make_tier(minimum_nano=50_000)
    admitted_by = tier.current_terms_id
    tier.minimum_nano = 0
    tier.save()
    short = uuid7_bytes()
    world.write_dead(intent(short, tier_id=tier.pk, terms_id=admitted_by), start(short))
    world.ingest()
    row = world.requests()[short]
    assert (row.cost_nano, row.charged_nano) == (15_000, 50_000)
    assert world.is_balanced()
