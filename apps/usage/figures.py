"""Figures as people read them."""

from __future__ import annotations

from datetime import datetime

from django.utils import formats, timezone


def milliseconds(value: float | None) -> str:
    """`< 1 ms`, `340 ms`, `1.20 s`, `2 min 5 s`; a dash when it was not measured."""
    if value is None:
        return "–"
    if value < 1:
        return "< 1 ms"
    if value < 1_000:
        return f"{value:.0f} ms"
    if value < 60_000:
        return f"{value / 1000:.2f} s"
    minutes, seconds = divmod(round(value / 1000), 60)
    return f"{minutes} min {seconds} s"


def instant_text(at: datetime) -> str:
    """`2026-11-23 16:19:05 UTC`, in the time zone of the installation."""
    return formats.date_format(timezone.localtime(at), "DATETIME_FORMAT")


def count_text(value: int) -> str:
    return f"{value:,}"


def size_text(count: int) -> str:
    """`0 B`, `1.4 MB`: bytes, in powers of a thousand."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def percent(part: int, whole: int) -> str:
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 or share == 0 else f"{share:.1f} %"


def short_count(value: int) -> str:
    """`950`, `93.5 k`, `1.2 M`: for columns where the exact count does not matter."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if value >= size:
            return f"{value / (1000 if unit == 'k' else size):.1f} {unit}"
    return f"{value:,}"
