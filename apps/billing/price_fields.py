"""How the conditions of prices are written in documents: USD as text, percent, times of day.

Each field reads a document's value into what rows keep (`price_parts`) and writes it back.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from apps.billing import price_parts
from apps.billing.pricing.model import MAX_FACTOR_PPM, PPM, RATE_NAMES
from apps.configuration.fields import Field, Usd, kind_of, plain
from apps.configuration.problems import Wrong

PPM_PER_PERCENT: Final = PPM // 100
_TIME: Final = re.compile(r"^([01]?\d|2[0-3]):([0-5]\d)$")
_USD: Final = Usd(name="")


@dataclass(frozen=True, kw_only=True)
class _Parts(Field, ABC):
    """A JSON column; None where there is nothing."""

    def read(self, value: Any) -> Any:
        if not value and value != 0:
            return None
        stored = self.stored(value)
        try:
            checked = self.checked(stored)
        except ValueError as error:
            raise Wrong(str(error), "See docs/prices.md for how it is written.") from None
        return price_parts.plain(checked)

    def write(self, value: Any) -> Any:
        return None if not value else self.shown(value)

    @abstractmethod
    def stored(self, value: Any) -> Any:
        """What the row would keep, of the right shape but not yet checked. Raises Wrong."""

    @abstractmethod
    def checked(self, stored: Any) -> Any:
        """The struct of it. Raises ValueError."""

    @abstractmethod
    def shown(self, stored: Any) -> Any:
        """The document's value of what a row has."""


class Bands(_Parts):
    """`[{above: 200000, input: "2.50", output: "15"}]`"""

    def stored(self, value: Any) -> Any:
        return read_bands(value)

    def checked(self, stored: Any) -> Any:
        return _part_of(price_parts.conditions_of(stored, None, None), "bands")

    def shown(self, stored: Any) -> Any:
        return [show_band(band) for band in stored]


class ServiceTiers(_Parts):
    """`{batch: {percent: "50"}, priority: {input: "3.50", output: "28"}}`"""

    def stored(self, value: Any) -> Any:
        return read_tiers(value)

    def checked(self, stored: Any) -> Any:
        return _part_of(price_parts.conditions_of(None, stored, None), "service_tiers")

    def shown(self, stored: Any) -> Any:
        return {name: show_tier(tier) for name, tier in stored.items()}


class Windows(_Parts):
    """`[{from: "16:30", to: "00:30", percent: "50"}]`, in UTC"""

    def stored(self, value: Any) -> Any:
        return read_windows(value)

    def checked(self, stored: Any) -> Any:
        return _part_of(price_parts.conditions_of(None, None, stored), "windows")

    def shown(self, stored: Any) -> Any:
        return [show_window(window) for window in stored]


class Volume(_Parts):
    """`{kind: graduated, steps: [{above: 1000000000, percent: "80"}]}`"""

    def stored(self, value: Any) -> Any:
        given = _mapping(value, {"kind", "steps"})
        return {**given, "steps": [_read_step(step) for step in _list(given.get("steps", []))]}

    def checked(self, stored: Any) -> Any:
        return price_parts.schedule_of(stored)

    def shown(self, stored: Any) -> Any:
        return {**stored, "steps": [show_band(step) for step in stored["steps"]]}


class Overrides(_Parts):
    """`{gpt-4o: {input: "2", output: "8"}}`, with bands and so on as prices have them"""

    def stored(self, value: Any) -> Any:
        return {str(model): _read_fixed(fixed) for model, fixed in _mapping(value, None).items()}

    def checked(self, stored: Any) -> Any:
        return price_parts.fixed_prices(stored)

    def shown(self, stored: Any) -> Any:
        return {model: _show_fixed(fixed) for model, fixed in stored.items()}


def read_bands(value: Any) -> list[dict[str, Any]]:
    return [_read_band(band) for band in _list(value)]


def read_tiers(value: Any) -> dict[str, Any]:
    return {str(name): _read_tier(tier) for name, tier in _mapping(value, None).items()}


def read_windows(value: Any) -> list[dict[str, Any]]:
    return [_read_window(window) for window in _list(value)]


def show_band(band: Mapping[str, Any]) -> dict[str, Any]:
    return {"above": band["above"], **_show_factor(band), **_show_rates(band.get("rates", {}))}


def show_tier(tier: Mapping[str, Any]) -> dict[str, Any]:
    bands = [show_band(band) for band in tier.get("bands", [])]
    item = {**_show_factor(tier), **_show_rates(tier.get("rates", {}))}
    return {**item, "bands": bands} if bands else item


def show_window(window: Mapping[str, Any]) -> dict[str, Any]:
    times = {"from": _show_time(window["start"]), "to": _show_time(window["end"])}
    return {**times, **_show_factor(window), **_show_rates(window.get("rates", {}))}


def read_percent(value: Any) -> int:
    """Percent of the price, at most four decimal places, in parts per million. Raises Wrong."""
    try:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise InvalidOperation
        ppm = Decimal(value.strip() if isinstance(value, str) else value) * PPM_PER_PERCENT
        if not (ppm.is_finite() and ppm == int(ppm) and 0 <= ppm <= MAX_FACTOR_PPM):
            raise InvalidOperation
    except InvalidOperation:
        raise Wrong(
            f"{value!r} is not a percentage of the price, from 0 to 100000.",
            'Write what is to be paid as quoted text, like "50" for half.',
        ) from None
    return int(ppm)


def read_usd(value: Any) -> int:
    """Nano-USD. Raises Wrong."""
    nano = _USD.read(value)
    assert nano is not None
    return nano


def read_time(value: Any) -> int:
    """The minute of the day. Raises Wrong."""
    match = _TIME.match(value) if isinstance(value, str) else None
    if match is None:
        raise Wrong(f"{value!r} is not a time of day.", 'Write UTC as quoted text, like "16:30".')
    return int(match[1]) * 60 + int(match[2])


def _read_band(value: Any) -> dict[str, Any]:
    given = _mapping(value, {"above", *RATE_NAMES})
    return {"above": given.pop("above", None), "rates": _read_rates(given)}


def _read_step(value: Any) -> dict[str, Any]:
    given = _mapping(value, {"above", "percent", *RATE_NAMES})
    return {"above": given.pop("above", None), **_read_factor(given), "rates": _read_rates(given)}


def _read_tier(value: Any) -> dict[str, Any]:
    given = _mapping(value, {"percent", "bands", *RATE_NAMES})
    bands = read_bands(given.pop("bands", []))
    return {**_read_factor(given), "bands": bands, "rates": _read_rates(given)}


def _read_window(value: Any) -> dict[str, Any]:
    given = _mapping(value, {"from", "to", "percent", *RATE_NAMES})
    start, end = read_time(given.pop("from", None)), read_time(given.pop("to", None))
    return {"start": start, "end": end, **_read_factor(given), "rates": _read_rates(given)}


def _read_fixed(value: Any) -> dict[str, Any]:
    given = _mapping(value, {"bands", "service_tiers", "windows", *RATE_NAMES})
    readers: dict[str, Callable[[Any], Any]] = {
        "bands": read_bands,
        "service_tiers": read_tiers,
        "windows": read_windows,
    }
    parts = {name: read(given.pop(name)) for name, read in readers.items() if name in given}
    return {"rates": _read_rates(given), **{name: part for name, part in parts.items() if part}}


def _show_fixed(fixed: Mapping[str, Any]) -> dict[str, Any]:
    item: dict[str, Any] = _show_rates(fixed["rates"])
    if bands := fixed.get("bands"):
        item["bands"] = [show_band(band) for band in bands]
    if tiers := fixed.get("service_tiers"):
        item["service_tiers"] = {name: show_tier(tier) for name, tier in tiers.items()}
    if windows := fixed.get("windows"):
        item["windows"] = [show_window(window) for window in windows]
    return item


def _read_factor(given: dict[str, Any]) -> dict[str, int]:
    return {"factor_ppm": read_percent(given.pop("percent"))} if "percent" in given else {}


def _show_factor(part: Mapping[str, Any]) -> dict[str, str]:
    ppm = part.get("factor_ppm", PPM)
    return {} if ppm == PPM else {"percent": plain(Decimal(ppm) / PPM_PER_PERCENT)}


def _read_rates(given: Mapping[str, Any]) -> dict[str, int]:
    return {name: read_usd(value) for name, value in given.items()}


def _show_rates(rates: Mapping[str, int]) -> dict[str, Any]:
    return {name: _USD.write(rates[name]) for name in RATE_NAMES if name in rates}


def _show_time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _mapping(value: Any, known: set[str] | None) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Wrong(f"This must be a mapping, not {kind_of(value)}.", "Write {name: value}.")
    unknown = sorted(str(name) for name in value if known is not None and name not in known)
    if unknown:
        names = ", ".join(sorted(known or ()))
        raise Wrong(f"There is no {unknown[0][:60]!r} here.", f"There are: {names}.")
    return {str(name): part for name, part in value.items()}


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise Wrong(f"This must be a list, not {kind_of(value)}.", "Begin items with `-`.")
    return list(value)


def _part_of(conditions: Any, name: str) -> Any:
    return getattr(conditions, name) if conditions is not None else None
