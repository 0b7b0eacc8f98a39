"""What backup and restore share: the manifest, and how the database is reached."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

MANIFEST = "manifest.json"


class Refused(Exception):
    """Why nothing was done, as one sentence."""


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


def write_manifest(folder: Path, told: Mapping[str, Any]) -> None:
    """Last of all: a backup without it is not whole."""
    files = {
        str(path.relative_to(folder)): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    draft = folder / f".{MANIFEST}"
    draft.write_text(json.dumps({**told, "files": files}, indent=2) + "\n", encoding="utf-8")
    draft.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises Refused when the backup is not whole, or not what was written."""
    try:
        told: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Refused(f"{folder} is no whole backup: it has no manifest.") from None
    for name, digest in told["files"].items():
        path = folder / name
        if not path.is_file() or _digest(path) != digest:
            raise Refused(f"{name} is missing or is not what was backed up.")
    return told


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def guarded(main: Any) -> None:
    """Runs a program; what it refuses is one line and status 1."""
    os.umask(0o077)
    try:
        main()
    except Refused as reason:
        sys.exit(f"{Path(sys.argv[0]).name}: {reason}")
