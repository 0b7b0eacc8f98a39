"""How backup and restore reach the database: as ChatVault does, by DATABASE_URL."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from manifest import Refused


def setting(name: str) -> str:
    """A variable of the environment, or the content of the file that `<NAME>_FILE` names."""
    if value := os.environ.get(name):
        return value
    path = os.environ.get(f"{name}_FILE")
    return Path(path).read_text(encoding="utf-8").strip() if path else ""


def libpq(url: str) -> dict[str, str]:
    """PostgreSQL's own variables for a URL: a password in the words of a command can be read by
    everybody on the machine."""
    parts = urlsplit(url)
    found = {
        "PGHOST": unquote(parts.hostname or ""),
        "PGPORT": str(parts.port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    for name, value in parse_qsl(parts.query):
        found[f"PG{name.upper()}"] = value
    return {name: value for name, value in found.items() if value}


def is_postgresql(url: str) -> bool:
    return urlsplit(url).scheme in ("postgres", "postgresql")


def sqlite_path(url: str, home: Path) -> Path:
    parts = urlsplit(url)
    return Path(unquote(parts.path[1:])) if parts.scheme == "sqlite" else home / "chatvault.sqlite3"


def run(tool: str, *words: str, binaries: Path | None, env: Mapping[str, str]) -> None:
    """One of PostgreSQL's programs. Raises Refused with its own words."""
    path = shutil.which(tool, path=str(binaries) if binaries else None)
    if path is None:
        raise Refused(f"{tool} is missing: install PostgreSQL's client programs.")
    whole = {**os.environ, **env}
    done = subprocess.run([path, *words], env=whole, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{tool} failed: {done.stderr.strip()}")
