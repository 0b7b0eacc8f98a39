"""The demo family has no options; the model's name says how slow it is."""

from __future__ import annotations

from typing import Any


def read_options(options: dict[str, Any]) -> None:
    """Raises ValueError for any."""
    for name in options:
        raise ValueError(f"Object contains unknown field `{name}`")
