from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from apps.invoicing.models import Bill, Statement, StatementFile
from chatvault.lib import clock
from tests.factories.numbers import unique
from tests.factories.providers import make_provider


def make_bill(**fields: Any) -> Bill:
    """A bill whose file waits to be read."""
    provider = fields.get("provider") or make_provider()
    defaults = {
        "provider": provider,
        "provider_name": provider.name,
        "form": "generic",
        "file_name": "bill.csv",
        "digest": unique("digest")[:64],
        "file_bytes": 1,
    }
    return Bill.objects.create(**defaults | fields)


def make_statement(**fields: Any) -> Statement:
    """An empty one of October 2026, with a CSV."""
    number = Statement.objects.count() + 1
    defaults = {
        "number": number,
        "reference": f"ST-{number:06}",
        "team_id": number,
        "starts_at": datetime(2026, 10, 1, tzinfo=UTC),
        "ends_at": datetime(2026, 11, 1, tzinfo=UTC),
        "time_zone": "UTC",
        "through_entry": 0,
        "issued_at": clock.now(),
    }
    made = Statement.objects.create(**defaults | fields)
    StatementFile.objects.create(statement=made, form="csv", content=b"x", digest="0" * 64)
    return made
