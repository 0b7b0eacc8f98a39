"""docs/usage-schema.md names every table of usage and every column of it."""

import re
from pathlib import Path

import pytest

from apps.billing.models import LedgerEntry
from apps.usage.models import Attempt, HourlyRollup, LatencyHour, RequestLog, TagHour

PAGE = (Path(__file__).parents[2] / "docs/usage-schema.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([a-z0-9_]+)`", PAGE))


@pytest.mark.parametrize(
    "model",
    [RequestLog, Attempt, LedgerEntry, HourlyRollup, TagHour, LatencyHour],
    ids=lambda model: model.__name__,
)
def test_every_column_is_told(model):
    columns = {field.column for field in model._meta.fields}
    assert columns - NAMED == set()
    assert model._meta.db_table in NAMED or model._meta.db_table in PAGE
