"""What the journals left behind: requests that nobody settles, segments that never came."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby
from typing import Final

from apps.usage.findings import EXAMPLES, Example, Finding
from apps.usage.models import JournalCursor, OpenIntent
from chatvault.lib import clock

ORPHANED_AFTER: Final = timedelta(hours=24)
"""No request takes as long: its process is gone, and what it reserved is held for nothing."""
_NAME: Final = re.compile(r"(.+)-(\d{8})\.cvj")


def findings() -> Iterator[Finding]:
    yield _orphans()
    yield _segments()


def _orphans() -> Finding:
    intents = OpenIntent.objects.order_by("created_at")
    old = intents.filter(created_at__lt=clock.now() - ORPHANED_AFTER)
    examples = [
        Example(f"{one.request_id}, open since {one.created_at:%Y-%m-%d %H:%M}", "intent")
        for one in old.defer("record")[:EXAMPLES]
    ]
    return Finding(
        "no request is open for longer than a day",
        intents.count(),
        old.count(),
        examples,
        "orphans",
    )


def _segments() -> Finding:
    """Those of one process are numbered: one that is missing was never read."""
    names = JournalCursor.objects.order_by("segment").values_list("segment", flat=True)
    known = (match for match in map(_NAME.fullmatch, names.iterator()) if match)
    examples: list[Example] = []
    checked = missing = 0
    for owner, matches in groupby(known, key=lambda match: match[1]):
        last = None
        for match in matches:
            number = int(match[2])
            checked += 1
            if last is not None and number > last + 1:
                missing += number - last - 1
                text = f"{owner}: segment {last} is followed by {number}"
                examples.append(Example(text, "segment", match[0]))
            last = number
    return Finding(
        "no journal segment is missing", checked, missing, examples[:EXAMPLES], "segments"
    )
