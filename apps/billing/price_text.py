"""The conditions of prices as people type them into forms, one a line:

    above 200000: input 2.50, output 15
    batch: 50%
    priority above 200000: input 4.50, output 27
    16:30-00:30: 50%
    gpt-4o | batch: 50%          (a tier's fixed price of a model, under a condition)

Each reader gives what documents have (`price_fields` reads that), each writer takes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from apps.billing import price_fields
from apps.billing.pricing.model import RATE_NAMES
from apps.configuration.problems import Wrong

_ABOVE: Final = re.compile(r"^above\s+([\d,_ ]+)$", re.IGNORECASE)
_TIER: Final = re.compile(r"^([a-z0-9][a-z0-9_.-]*)(?:\s+(above\s+[\d,_ ]+))?$")
_WINDOW: Final = re.compile(r"^(\d\d?:\d\d)\s*(?:-|–|to)\s*(\d\d?:\d\d)$")
_RATE: Final = re.compile(r"^([a-z][a-z0-9_ ]*?)\s+\$?([^\s$]+)$")
_HINT: Final = "Write a percentage of the price, like 50%, or rates, like: input 2.50, output 15"


class LineWrong(Wrong):
    """Wrong, and in which line."""

    def __init__(self, number: int, reason: str, hint: str = "") -> None:
        super().__init__(f"Line {number}: {reason}", hint)


def read_bands(text: str) -> list[dict[str, Any]]:
    return _sorted(
        {"above": _limit(head, number), **_values(values, number, may_percent=False)}
        for number, head, values in _lines(text)
    )


def read_steps(text: str) -> list[dict[str, Any]]:
    return _sorted(
        {"above": _limit(head, number), **_values(values, number)}
        for number, head, values in _lines(text)
    )


def read_tiers(text: str) -> dict[str, Any]:
    tiers: dict[str, Any] = {}
    for number, head, values in _lines(text):
        _put_tier(tiers, head, values, number)
    return tiers


def read_windows(text: str) -> list[dict[str, Any]]:
    return [_window(head, values, number) for number, head, values in _lines(text)]


def read_overrides(text: str) -> dict[str, Any]:
    """Fixed prices by model: `gpt-4o: input 2, output 8`, then its conditions behind a bar."""
    fixed: dict[str, Any] = {}
    for number, head, values in _lines(text):
        model, bar, condition = (part.strip() for part in head.partition("|"))
        if not bar:
            if model in fixed:
                raise LineWrong(number, f"{model} is here twice.", "Keep one of them.")
            fixed[model] = _values(values, number, may_percent=False)
            continue
        if model not in fixed:
            raise LineWrong(
                number,
                f"{model} has no fixed price yet.",
                f"Begin with: {model}: input 1, output 2",
            )
        _put_condition(fixed[model], condition, values, number)
    return fixed


def write_bands(bands: list[Mapping[str, Any]]) -> str:
    return "\n".join(f"above {band['above']}: {_written(band)}" for band in bands)


def write_tiers(tiers: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, tier in tiers.items():
        lines.append(f"{name}: {_written(tier)}")
        lines += [f"{name} above {band['above']}: {_written(band)}" for band in _bands(tier)]
    return "\n".join(lines)


def write_windows(windows: list[Mapping[str, Any]]) -> str:
    return "\n".join(f"{each['from']}-{each['to']}: {_written(each)}" for each in windows)


def write_overrides(fixed: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for model, price in fixed.items():
        lines.append(f"{model}: {_written(price)}")
        conditions = (
            write_bands(_bands(price)),
            write_tiers(price.get("service_tiers", {})),
            write_windows(price.get("windows", [])),
        )
        lines += [f"{model} | {line}" for part in conditions for line in part.splitlines()]
    return "\n".join(lines)


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """(number, what is before the last colon, what is behind it) of each line with something."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        head, colon, values = line.rpartition(":")
        if not colon or not head.strip():
            raise LineWrong(number, "There is no colon with something before and behind it.", _HINT)
        yield number, head.strip(), values.strip()


def _values(text: str, number: int, *, may_percent: bool = True) -> dict[str, str]:
    """`50%`, or rates with commas between them, as documents have them."""
    if text.endswith("%"):
        if not may_percent:
            raise LineWrong(number, "A percentage is for service tiers and hours.", _HINT)
        percent = text.removesuffix("%").strip()
        _check(price_fields.read_percent, percent, number)
        return {"percent": percent}
    rates: dict[str, str] = {}
    for part in text.split(","):
        match = _RATE.match(part.strip().lower())
        if match is None:
            raise LineWrong(number, f"{part.strip()[:60]!r} is not a rate and an amount.", _HINT)
        name = "_".join(match[1].replace("_", " ").split())
        if name not in RATE_NAMES:
            known = ", ".join(each.replace("_", " ") for each in RATE_NAMES)
            raise LineWrong(number, f"There is no rate {match[1][:60]!r}.", f"There are: {known}.")
        if name in rates:
            raise LineWrong(number, f"The rate {match[1]!r} is here twice.", "Keep one of them.")
        _check(price_fields.read_usd, match[2], number)
        rates[name] = match[2]
    return rates


def _check(read: Callable[[str], int], text: str, number: int) -> None:
    try:
        read(text)
    except Wrong as wrong:
        raise LineWrong(number, f"{text[:60]}: {wrong.reason}") from None


def _written(part: Mapping[str, Any]) -> str:
    if "percent" in part:
        return f"{part['percent']}%"
    rates = [f"{name.replace('_', ' ')} {part[name]}" for name in RATE_NAMES if name in part]
    return ", ".join(rates) or "100%"


def _limit(head: str, number: int) -> int:
    match = _ABOVE.match(head)
    if match is None:
        raise LineWrong(
            number, f"{head[:60]!r} is not a number of tokens.", "Begin with: above 200000:"
        )
    return int(re.sub(r"[,_ ]", "", match[1]) or 0)


def _put_tier(tiers: dict[str, Any], head: str, values: str, number: int) -> None:
    match = _TIER.match(head.lower())
    if match is None:
        raise LineWrong(
            number, f"{head[:60]!r} is not a service tier.", "Begin with its name, like: batch:"
        )
    name, above = match[1], match[2]
    if above is None:
        if name in tiers:
            raise LineWrong(number, f"The tier {name} is here twice.", "Keep one of them.")
        tiers[name] = _values(values, number)
        return
    band = {"above": _limit(above, number), **_values(values, number, may_percent=False)}
    tier = tiers.setdefault(name, {})
    tier["bands"] = _sorted([*tier.get("bands", []), band])


def _put_condition(price: dict[str, Any], head: str, values: str, number: int) -> None:
    if _ABOVE.match(head):
        band = {"above": _limit(head, number), **_values(values, number, may_percent=False)}
        price["bands"] = _sorted([*price.get("bands", []), band])
    elif _WINDOW.match(head):
        price.setdefault("windows", []).append(_window(head, values, number))
    else:
        _put_tier(price.setdefault("service_tiers", {}), head, values, number)


def _window(head: str, values: str, number: int) -> dict[str, Any]:
    match = _WINDOW.match(head)
    if match is None:
        raise LineWrong(
            number, f"{head[:60]!r} is not a part of the day.", "Begin with UTC: 16:30-00:30:"
        )
    return {"from": match[1], "to": match[2], **_values(values, number)}


def _sorted(bands: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sorted(bands, key=lambda band: band["above"])
    return found


def _bands(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = part.get("bands", [])
    return found
