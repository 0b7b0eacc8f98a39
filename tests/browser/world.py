"""A day of traffic to look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from apps.billing.limits.periods import period_bounds
from apps.billing.models import BudgetWindow
from apps.usage import rollups
from apps.usage.models import RequestLog
from chatvault.lib import clock, ids
from tests.factories import (
    World,
    make_attempt,
    make_budget,
    make_ledger_entry,
    make_quota,
    make_request,
    make_world,
)


def make_traffic(count: int = 60) -> tuple[World, RequestLog]:
    """`count` requests of the last day by one client, every tenth failed; and the newest."""
    world = make_world(base_url="https://provider.example/v1")
    budget = make_budget(client=world.client, amount_nano=10_000_000_000)
    start_s, _ = period_bounds("month", int(clock.wall_s()))
    BudgetWindow.objects.create(
        budget=budget, starts_at=datetime.fromtimestamp(start_s, UTC), settled_nano=8_250_000_000
    )
    make_quota(client=world.client)
    now = clock.now()
    for number in range(count):
        is_bad = number % 10 == 9
        row = make_request(
            started_at=now - timedelta(minutes=number * 20, seconds=1),
            **named(world),
            outcome="error" if is_bad else "ok",
            http_status=502 if is_bad else 200,
            error_code="upstream_unreachable" if is_bad else "",
            input_tokens=1_000 + 37 * number,
            cached_input_tokens=200,
            output_tokens=0 if is_bad else 120 + 11 * (number % 7),
            cost_nano=0 if is_bad else 222_000 + 1_500 * number,
            charged_nano=0 if is_bad else 222_000 + 1_500 * number,
            latency_ms=350 + 41 * (number % 13),
            first_token_ms=None if is_bad else 90 + 5 * (number % 9),
        )
    rollups.recompute(now - timedelta(days=3), now + timedelta(hours=1))
    newest = RequestLog.objects.first()
    assert newest is not None and row is not None
    make_attempt(
        request_id=newest.request_id,
        deployment_id=world.deployment.pk,
        started_at=newest.started_at + timedelta(milliseconds=2),
        duration_ms=330,
    )
    for account, amount in (("client", -222_000), ("provider", 222_000)):
        make_ledger_entry(
            request_id=newest.request_id,
            account=account,
            amount_nano=amount,
            client_id=world.client.pk,
            team_id=world.team.pk,
            key_id=world.key.pk,
            booked_at=newest.started_at,
        )
    return world, newest


def named(world: World) -> dict[str, object]:
    """The columns of a request row that say whose it was and where it went."""
    return {
        "request_id": ids.uuid7(),
        "team_id": world.team.pk,
        "team_name": world.team.name,
        "client_id": world.client.pk,
        "client_name": world.client.name,
        "key_id": world.key.pk,
        "key_name": world.key.name,
        "alias": world.alias.name,
        "deployment_id": world.deployment.pk,
        "deployment_name": world.deployment.name,
        "provider_name": world.provider.name,
        "price_id": world.price.pk,
        "tier_id": world.tier.pk,
        "is_stream": True,
    }
