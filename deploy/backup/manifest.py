"""What a backup says of itself, written last and read first."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


class Refused(Exception):
    """Why nothing was done, as one sentence."""


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
