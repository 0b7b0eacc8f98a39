"""Secrets as a type: they show as *** wherever they are printed, and open in one place. And what
may be said of errors and in logs: text in which nothing looks like a secret."""

from __future__ import annotations

import hmac
import re
from typing import Final

MASK: Final = "***"


class Secret:
    """A secret in memory. `reveal()` is the only way to its text; repr, str and format mask it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not serialised")


_PREFIXED: Final = re.compile(
    r"(?i)\b(?:(?:sk|pk|rk|cv|gsk|xai|ghp|gho|glpat|hf|pat|whsec)[-_][A-Za-z0-9_\-]{6,}"
    r"|AIza[0-9A-Za-z_\-]{6,}|AKIA[0-9A-Z]{6,}|ya29\.[0-9A-Za-z_\-.]+"
    r"|eyJ[A-Za-z0-9_\-]{6,}[A-Za-z0-9_\-.]*)"
)
_AFTER_A_WORD: Final = re.compile(
    r"(?i)((?:bearer|basic)\s+|(?:authorization|cookie|x-api-key|api[-_]?key|password|passwd|secret"
    r"|token)[\"']?\s*[:=]\s*[\"']?)(?!bearer\s|basic\s)[^\s\"',;&]+"
)
_USER_PART: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.\-]*://)[^\s/@]*@")
_QUERY: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.\-]*://[^\s?#]+)[?#]\S+")
_LONG: Final = re.compile(r"[A-Za-z0-9+_\-]{36,}={0,2}")  # a UUID has 36, its 32 digits fewer
_UUID: Final = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_QUOTED: Final = re.compile(
    r"b?'[^'\n]{1,2000}'|b?\"[^\"\n]{1,2000}\"|`[^`\n]{1,2000}`|“[^”\n]{1,2000}”"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
MOST_DETAIL: Final = 200
_BOTH_CASES: Final = 8  # more of each than a name of that length has

# Exceptions of these packages say what failed; those of others may say what was sent to them.
_TELLING: Final = frozenset(
    {"builtins", "apps", "chatvault", "django", "psycopg", "sqlite3", "redis", "kombu", "celery"}
    | {"asyncio", "socket", "ssl", "concurrent", "uvicorn", "opentelemetry", "json", "amqp"}
)
# Quotation marks of these hold names of code, tables and files, not what somebody sent.
_NAMES: Final = (AttributeError, ImportError, NameError, OSError)


def mask(text: str) -> str:
    """Text without anything that looks like a secret: keys, tokens, passwords, long random runs."""
    text = _USER_PART.sub(rf"\1{MASK}@", text)
    text = _QUERY.sub(rf"\1?{MASK}", text)
    text = _AFTER_A_WORD.sub(rf"\1{MASK}", text)
    text = _PREFIXED.sub(MASK, text)
    return _LONG.sub(_mask_random, text)


def _mask_random(match: re.Match[str]) -> str:
    """Names and request ids stay; a long run of letters with digits or of both cases goes."""
    run = match.group()
    letters = sum(c.isalpha() for c in run)
    capitals = sum(c.isupper() for c in run)
    is_mixed = any(c.isdigit() for c in run) and letters > 0
    is_mixed = is_mixed or min(capitals, letters - capitals) >= _BOTH_CASES
    return MASK if is_mixed and not _UUID.fullmatch(run) else run


def describe(error: BaseException) -> str:
    """What an exception says, as far as it cannot hold a value that somebody sent: one line,
    without what it quotes; empty for exceptions of packages that may quote anything."""
    if type(error).__module__.partition(".")[0] not in _TELLING:
        return ""
    try:
        text = str(error)
    except Exception:  # a foreign __str__ may do anything; its text is not worth a second failure
        return ""
    text = text.partition("\n")[0][: 8 * MOST_DETAIL]
    if isinstance(error, KeyError):
        return ""  # all of it is the value
    if not isinstance(error, _NAMES) and not _is_of_a_database(error):
        text = _QUOTED.sub("'…'", text)
    text = mask(_CONTROL.sub(" ", text)).strip()
    return text if len(text) <= MOST_DETAIL else text[: MOST_DETAIL - 1] + "…"


def _is_of_a_database(error: BaseException) -> bool:
    """Its first line names constraints, columns and hosts; values come in the lines after."""
    return type(error).__name__ in ("IntegrityError", "OperationalError", "ProgrammingError")
