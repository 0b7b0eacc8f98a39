"""Token counts from outside: whole numbers from 0 to 2^53, or they do not count. And the names of
service tiers, which must look like one."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec

from apps.providers.adapters.contract import Usage

# Above 2^53 a JSON number is no longer exact everywhere (RFC 8259 §6).
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

_TIER: Final = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,31}")


def tier_name(told: Any) -> str:
    """The name of a service tier as prices have it; "" for what is none."""
    if not isinstance(told, str):
        return ""
    name = told.lower()
    return name if _TIER.fullmatch(name) else ""


def later(known: Usage | None, told: Usage | None) -> Usage | None:
    """The usage to believe after `told`: totals in a stream are cumulative and never shrink."""
    if told is None:
        return known
    if known is None:
        return told
    shrinks = told.output_tokens < known.output_tokens or told.input_tokens < known.input_tokens
    return known if shrinks else told
