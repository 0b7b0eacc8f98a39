from __future__ import annotations

from datetime import timedelta
from typing import Any

from apps.forecasts.models import BudgetForecast, WhatIf
from chatvault.lib import clock
from tests.factories.accounts import make_client
from tests.factories.billing import make_budget

USD = 10**9


def make_forecast(**fields: Any) -> BudgetForecast:
    """Of a new budget, made now: 4 of 10 USD are spent, and it runs out in five days."""
    fields["budget"] = fields.get("budget") or make_budget()
    now = clock.now()
    today = now.date()
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    defaults = {
        "made_on": today,
        "made_at": now,
        "window_starts_at": start,
        "window_ends_at": now + timedelta(days=10),
        "last_on": today + timedelta(days=9),
        "amount_nano": 10 * USD,
        "spent_nano": 4 * USD,
        "expected_nano": 14 * USD,
        "low_nano": 11 * USD,
        "high_nano": 17 * USD,
        "runs_out_on": today + timedelta(days=5),
        "runs_out_earliest": today + timedelta(days=4),
        "runs_out_latest": today + timedelta(days=7),
        "daily_nano": USD,
        "safe_daily_nano": 600_000_000,
        "method": "seasonal",
        "days_seen": 60,
        "points": [
            {"on": (today - timedelta(days=1)).isoformat(), "spent": 3 * USD},
            {"on": today.isoformat(), "expected": 5 * USD, "low": 4 * USD, "high": 6 * USD},
        ],
    }
    return BudgetForecast.objects.create(**defaults | fields)


def make_what_if(**fields: Any) -> WhatIf:
    """Of a new client: half of yesterday's prompts from the cache; answered with nothing."""
    fields["client"] = fields.get("client") or make_client()
    now = clock.now()
    defaults = {
        "starts_at": now - timedelta(days=1),
        "ends_at": now,
        "cached_percent": 50,
        "words": "50 % of prompts cached",
        "state": WhatIf.State.DONE,
        "charged_then_nano": 0,
        "cost_then_nano": 0,
    }
    return WhatIf.objects.create(**defaults | fields)
