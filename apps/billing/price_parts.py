"""The parts of prices and tiers that rows keep as JSON, and what they must be: the one place
where they are checked, whether a form, a document or a program wrote them."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from apps.billing import pricing
from apps.billing.pricing.model import Rates
from apps.billing.pricing.volume import Schedule

T = TypeVar("T")
CONDITIONS = ("bands", "service_tiers", "windows")


class FixedPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A price that a tier has for one model, whatever its book says."""

    rates: Rates
    bands: tuple[pricing.Band, ...] = ()
    service_tiers: dict[pricing.TierName, pricing.ServiceTier] = {}
    windows: tuple[pricing.Window, ...] = ()

    def __post_init__(self) -> None:
        if not {"input", "output"} <= self.rates.keys():
            raise ValueError("A fixed price has at least the rates of input and output.")
        pricing.Conditions(self.bands, self.service_tiers, self.windows)

    def price(self, model: str) -> pricing.Price:
        parts = pricing.Conditions(self.bands, self.service_tiers, self.windows)
        return pricing.Price(
            id=0,
            model=model,
            conditions=parts if parts != pricing.Conditions() else None,
            **{str(name): nano for name, nano in self.rates.items()},
        )


def conditions_of(bands: Any, service_tiers: Any, windows: Any) -> pricing.Conditions | None:
    """The conditions of a price from its columns; None where it has none. Raises ValueError."""
    if not (bands or service_tiers or windows):
        return None
    return _read(
        {"bands": bands or [], "service_tiers": service_tiers or {}, "windows": windows or []},
        pricing.Conditions,
    )


def overrides_of(value: Any) -> dict[str, pricing.Price]:
    """A tier's fixed prices by model. Raises ValueError."""
    return {model: each.price(model) for model, each in fixed_prices(value).items()}


def fixed_prices(value: Any) -> dict[str, FixedPrice]:
    return _read(value or {}, dict[str, FixedPrice])


def schedule_of(value: Any) -> Schedule | None:
    """A volume schedule; None where there is none. Raises ValueError."""
    return _read(value, Schedule) if value else None


def plain(value: Any) -> Any:
    """A struct as a row keeps it: lists, mappings and whole numbers alone."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _read(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_in_words(error)) from None


def _in_words(error: msgspec.ValidationError) -> str:
    text, _, where = str(error).partition(" - at `$")
    return f"{text.rstrip('.')} ({where.rstrip('`').lstrip('.')})." if where else text
