"""What may stand in the trail: values of JSON's types without secrets, of bounded length, that
come back from any database as they went in."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, Final

from django.db.models import Model
from pydantic import SecretBytes, SecretStr

from chatvault.lib.redact import MASK, Secret, mask
from chatvault.lib.references import is_reference

MOST_TEXT: Final = 500
MOST_ITEMS: Final = 100
MOST_NAME: Final = 200
_MOST_DEPTH: Final = 5
_SECRET: Final = re.compile(
    r"(?i)(?:^|[^a-z])(?:password\d*|passwd|passphrase|secret|token|digest|pepper|authorization"
    r"|cookie|otp|totp|seed|verifier|session_?key|(?:private|signing|api|secret|vault)_?keys?"
    r"|(?:recovery|device|user|authorization)_?codes?)(?:$|[^a-z])"
)


def fields(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of `before` or `after` as they are kept."""
    found: dict[str, Any] = _mapping(values or {}, 0, is_secret=False)
    return found


def text(value: object, most: int) -> str:
    """A text that every database takes and gives back: no NUL, no half of a character."""
    whole = str(value).replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return whole if len(whole) <= most else f"{whole[: most - 1]}…"


def address(given: str | None) -> str | None:
    """An IP address in the one form that PostgreSQL gives back, too; None for anything else."""
    try:
        found = ipaddress.ip_address((given or "").partition("%")[0].strip("[]"))
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def _mapping(values: Mapping[Any, Any], depth: int, *, is_secret: bool) -> dict[str, Any]:
    kept = {}
    for number, (name, value) in enumerate(values.items()):
        if number == MOST_ITEMS:
            kept["…"] = f"{len(values) - MOST_ITEMS:,} more"
            break
        label = text(mask(str(name)), MOST_NAME)
        kept[label] = _value(value, depth + 1, is_secret=is_secret or _names_a_secret(str(name)))
    return kept


def _names_a_secret(name: str) -> bool:
    return _SECRET.search(name.rpartition("].")[2].rpartition(".")[2] or name) is not None


def _value(value: Any, depth: int, *, is_secret: bool) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Secret | SecretStr | SecretBytes | bytes | bytearray | memoryview):
        return MASK if value else ""
    if depth > _MOST_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        return _mapping(value, depth, is_secret=is_secret)
    if isinstance(value, Iterable) and not isinstance(value, str | Model):
        return _list(value, depth, is_secret=is_secret)
    return _text(value, is_secret=is_secret)


def _list(values: Iterable[Any], depth: int, *, is_secret: bool) -> list[Any]:
    items = sorted(values, key=str) if isinstance(values, set | frozenset) else list(values)
    kept = [_value(each, depth + 1, is_secret=is_secret) for each in items[:MOST_ITEMS]]
    return kept if len(items) <= MOST_ITEMS else [*kept, f"{len(items) - MOST_ITEMS:,} more"]


def _text(value: Any, *, is_secret: bool) -> str:
    """Numbers with a fraction become text: databases write them in forms of their own."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Model):
        return text(mask(f"{value} (id {value.pk})"), MOST_TEXT)
    said = str(value)
    if is_secret and said and not is_reference(said):
        return MASK
    cut = text(mask(said[: 4 * MOST_TEXT]), MOST_TEXT)
    return cut if len(said) <= MOST_TEXT else f"{cut[:MOST_TEXT]} ({len(said):,} characters)"
