"""Attributes of prices as pages name and show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from apps.billing import price_fields, price_text
from apps.configuration.fields import Field
from chatvault.lib.money import format_usd

_CONDITIONS: Final[dict[str, tuple[Field, Callable[[Any], str]]]] = {
    "bands": (price_fields.Bands(name="bands"), price_text.write_bands),
    "service_tiers": (price_fields.ServiceTiers(name="service_tiers"), price_text.write_tiers),
    "windows": (price_fields.Windows(name="windows"), price_text.write_windows),
}


def name_of(attribute: str) -> str:
    """`cached_input_nano` is "cached input"."""
    name = attribute.removesuffix("_nano").replace("_", " ")
    return name.replace("write 1h", "write 1 h")


def shown(attribute: str, value: Any) -> str:
    """An amount, a count, or the lines of conditions with semicolons between them."""
    if value in (None, {}, []):
        return "–"
    if attribute in _CONDITIONS:
        field, write = _CONDITIONS[attribute]
        return "; ".join(write(field.write(value)).splitlines())
    return format_usd(value) if attribute.endswith("_nano") else f"{value:,}"
