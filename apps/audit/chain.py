"""The chain: what of an event its hash covers, and in which form.

Form 1 is a JSON array in ASCII, keys sorted, no spaces, times in UTC to the microsecond. It is a
contract with archives: another form would be another number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

FORM: Final = 1
START: Final = "0" * 64
COVERED: Final = (
    "previous_hash",
    "id",
    "at",
    "action",
    "actor_kind",
    "actor",
    "user_id",
    "team_id",
    "target_type",
    "target_id",
    "target",
    "before",
    "after",
    "request_id",
    "address",
)


def hash_of(values: Sequence[Any]) -> str:
    """SHA-256 over the fields of COVERED, in that order, the previous hash among them."""
    given = [_instant(each) if isinstance(each, datetime) else each for each in values]
    text = json.dumps([FORM, *given], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def topic_of(action: str) -> str:
    return action.partition(".")[0][:32]


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
