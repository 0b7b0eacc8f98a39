import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.billing import ledger
from apps.billing.models import LedgerEntry
from apps.usage import day_sums
from apps.usage.models import RequestLog
from chatvault.lib import ids

BEGIN = datetime(2026, 3, 27, tzinfo=UTC)  # two days before the clocks of Berlin change
DAYS = 5


class Usage:
    """Random requests of few parties over five days, some days summed up, some adjusted."""

    def __init__(self, seed: int, count: int = 400) -> None:
        self._random = random.Random(seed)
        self.rows = [self._row() for _ in range(count)]
        RequestLog.objects.bulk_create(self.rows)
        LedgerEntry.objects.bulk_create(
            LedgerEntry(
                request_id=row.request_id,
                account="client",
                amount_nano=-row.charged_nano,
                team_id=row.team_id,
                client_id=row.client_id,
                key_id=row.key_id,
                booked_at=row.started_at,
            )
            for row in self.rows
        )
        self.changes = {
            row.request_id: self._adjust(row) for row in self._random.sample(self.rows, 9)
        }
        day_sums.insert_hours(BEGIN, BEGIN + timedelta(days=DAYS))
        for number in self._random.sample(range(DAYS), 3):
            assert day_sums.sum_up_day(BEGIN + timedelta(days=number))

    def sum_up(self) -> None:
        """Every day, those that are summed up already, too."""
        for number in range(DAYS):
            assert day_sums.sum_up_day(BEGIN + timedelta(days=number))

    def adjust(self, row: RequestLog) -> None:
        cost, charged = self._adjust(row)
        before = self.changes.get(row.request_id, (0, 0))
        self.changes[row.request_id] = (before[0] + cost, before[1] + charged)

    def _row(self) -> RequestLog:
        pick = self._random
        outcome = pick.choice(["ok"] * 6 + ["error", "interrupted", "cancelled"])
        has_answer = outcome in ("ok", "cancelled")
        tokens = pick.randrange(0, 5000) if has_answer else 0
        fields: dict[str, Any] = {
            "request_id": ids.uuid7(),
            "started_at": BEGIN + timedelta(milliseconds=pick.randrange(DAYS * 86_400_000)),
            "team_id": pick.randint(1, 2),
            "client_id": pick.randint(1, 4),
            "key_id": pick.randint(0, 5),
            "user_id": pick.choice([None, 7, 8]),
            "alias": pick.choice(["gpt-4o", "claude", "=1+1"]),
            "deployment_id": pick.choice([None, 1, 2, 3]),
            "operation": "chat",
            "outcome": outcome,
            "http_status": {"ok": 200, "error": 502, "cancelled": 499}.get(outcome, 0),
            "error_code": "" if outcome == "ok" else outcome,
            "input_tokens": tokens,
            "output_tokens": tokens // 3,
            "cached_input_tokens": tokens // 5,
            "cost_nano": tokens * 1_500,
            "charged_nano": tokens * 1_650,
            "revision": 1,
            "latency_ms": pick.randrange(1, 60_000) if has_answer else None,
            "first_token_ms": pick.randrange(1, 900) if outcome == "ok" else None,
            "tags": pick.choice([None, {"env": "prod"}, {"env": "dev", "project": "atlas"}]),
            "provider_id": pick.choice([None, 5, 6]),
        }
        return RequestLog(**fields)

    def _adjust(self, row: RequestLog) -> tuple[int, int]:
        cost, charged = self._random.randrange(0, 10**6), self._random.randrange(0, 10**7)
        ledger.adjust(
            request_id=row.request_id,
            cost_delta=cost,
            charged_delta=charged,
            author="ada",
            reason="the provider's bill says so",
        )
        return cost, charged


@pytest.fixture
def usage(db: None) -> Usage:
    return Usage(1)
