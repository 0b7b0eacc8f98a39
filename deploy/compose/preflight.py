"""Refuses secrets that are missing, short, placeholders or copied from a template.

Runs before everything else in compose, with the folder of the secrets as its argument. It names
the file and what is wrong with it, never a value.
"""

import base64
import binascii
import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

_PLACEHOLDER = re.compile(
    r"change.?me|change.?it|placeholder|example|insecure|password|secret|your[-_ ]|xxx|<[^>]*>",
    re.IGNORECASE,
)
_MIN_BYTES = 32
_MIN_WORD = 24


def _word(text: str) -> str:
    if _PLACEHOLDER.search(text):
        return "is a placeholder"
    if len(text) < _MIN_WORD or len(set(text)) < 8:
        return f"is shorter than {_MIN_WORD} random characters"
    return ""


def _signing_key(text: str) -> str:
    return "is a placeholder or too short" if len(text) < _MIN_BYTES or _word(text) else ""


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) >= _MIN_BYTES
    except (binascii.Error, ValueError):
        return False


def _pepper(text: str) -> str:
    """One, or a ring `2:base64,1:base64`."""
    parts = [part.strip().rpartition(":") for part in text.split(",")]
    names = [name or "1" for name, _, _ in parts]
    fit = all(name.isdigit() for name in names) and len(set(names)) == len(names)
    fit = fit and all(_is_key(key) and len(set(key)) > 8 for _, _, key in parts)
    return "" if fit else "is not base64 of 32 random bytes"


def _vault_keys(text: str) -> str:
    parts = [part.partition(":") for part in text.split(",")]
    fit = all(name and _is_key(key) and len(set(key)) > 8 for name, _, key in parts)
    return "" if fit else "is not a list of id:base64 with 32 random bytes each"


def _url(*schemes: str) -> Callable[[str], str]:
    def judge(text: str) -> str:
        url = urlsplit(text)
        if url.scheme not in schemes or not url.hostname:
            return f"is not a URL that begins with {schemes[0]}://"
        return f"has a password that {wrong}" if (wrong := _word(url.password or "")) else ""

    return judge


def _users(text: str) -> str:
    if not re.search(r"^user default off\b", text, re.MULTILINE) or "nopass" in text:
        return "lets somebody in without a password"
    if re.search(r"(^|\s)>", text):
        return "holds a password in clear; give its digest, #<sha256>"
    named = re.findall(r"^user (\S+) .*#[0-9a-f]{64}\b", text, re.MULTILINE)
    missing = {"chatvault", "chatvault-queue"} - set(named)
    return f"has no password for {', '.join(sorted(missing))}" if missing else ""


_RULES: dict[str, Callable[[str], str]] = {
    "secret_key": _signing_key,
    "key_pepper": _pepper,
    "vault_keys": _vault_keys,
    "postgres_password": _word,
    "database_password": _word,
    "database_owner_password": _word,
    "grafana_password": _word,
    "database_url": _url("postgresql", "postgres"),
    "database_owner_url": _url("postgresql", "postgres"),
    "redis_url": _url("redis", "rediss"),
    "celery_broker_url": _url("redis", "rediss", "amqp", "amqps"),
    "redis_users": _users,
}


def findings(folder: Path) -> list[str]:
    """One line for each secret that must not be used."""
    found = []
    for name, judge in _RULES.items():
        try:
            text = (folder / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            found.append(f"{name} cannot be read")
            continue
        if wrong := judge(text) if text else "is empty":
            found.append(f"{name} {wrong}")
    return found


def main() -> int:
    wrong = findings(Path(sys.argv[1]))
    for line in wrong:
        print(f"preflight: {line}: remove the file and run ./make-secrets.sh", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
