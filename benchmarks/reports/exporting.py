"""Whole files of requests, as they are streamed."""

from __future__ import annotations

import resource
import time
from datetime import timedelta
from typing import Any

from django.db.models import Max, Min, Sum

from apps.usage.models import HourlyRollup
from apps.usage.reports.exporting.files import FORMATS, chunks
from apps.usage.reports.exporting.slices import Wanted
from apps.usage.reports.query import EVERYTHING

MOST = {"csv": 2_000_000, "focus": 1_000_000, "json": 200_000, "parquet": 200_000}


def measure() -> list[dict[str, Any]]:
    found = []
    for name, most in MOST.items():
        wanted, rows = _span(most)
        began, size = time.perf_counter(), 0
        for chunk in chunks(wanted, FORMATS[name]):
            size += len(chunk)
        took = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        one = {"format": name, "rows": rows, "rows_s": rows / took, "bytes": size, "mb": memory}
        print(f"export {name}: {rows:,} rows, {one['rows_s']:,.0f} rows/s, {memory} MB in all")
        found.append(one)
    return found


def _span(most: int) -> tuple[Wanted, int]:
    """Whole days from the first on, until there are so many requests."""
    ends = HourlyRollup.objects.aggregate(first=Min("hour"), last=Max("hour"))
    start = ends["first"].replace(hour=0)
    end, rows = start, 0
    while rows < most and end <= ends["last"]:
        end += timedelta(days=1)
        hours = HourlyRollup.objects.filter(hour__gte=start, hour__lt=end)
        rows = hours.aggregate(sum=Sum("requests"))["sum"] or 0
    return Wanted(start, end, {}, EVERYTHING), rows
