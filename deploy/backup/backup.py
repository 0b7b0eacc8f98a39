#!/usr/bin/env python3
"""Backs up one node and its database while both run.

    backup.py --home /var/lib/chatvault/gateway --to /backups/2026-11-25 --secrets-to /vault/25

The journal is copied before the database: what ingest ships in between is then in both, and what
is shipped twice is booked once. In the other order it could be in neither.

With many nodes: `--what node` on each, then `--what database` once. `--physical` takes a base
backup of the whole PostgreSQL server instead of a dump of one database. Reads DATABASE_URL or
DATABASE_URL_FILE, as ChatVault does. Needs Python 3.11 and PostgreSQL's client programs.
"""

import argparse
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from database import is_postgresql, libpq, run, setting, sqlite_path
from manifest import Refused, guarded, write_manifest

_KINDS = ("node", "secrets", "database")


def main() -> None:
    options = _options()
    began = time.monotonic()
    moment = datetime.now(tz=UTC).isoformat()
    _make(options.to)
    what = _KINDS if options.what == "all" else (options.what,)
    if "node" in what:
        copy_node(options.home, options.to / "node")
    if "secrets" in what and options.secrets_to:
        _make(options.secrets_to)
        shutil.copytree(options.home / "secrets", options.secrets_to / "secrets")
        write_manifest(options.secrets_to, {"began_at": moment})
    kind = "none"
    if "database" in what:
        kind = copy_database(options)
    took_s = round(time.monotonic() - began, 3)
    write_manifest(options.to, {"began_at": moment, "took_s": took_s, "database": kind})
    print(f"backup.py: {options.to} is whole after {took_s} s; it has what was there at {moment}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--home", type=Path, required=True, help="the node's state folder")
    parser.add_argument("--to", type=Path, required=True, help="a folder that is made")
    parser.add_argument("--secrets-to", type=Path, help="another one: keep it apart from the rest")
    parser.add_argument("--what", choices=("all", *_KINDS), default="all")
    parser.add_argument("--physical", action="store_true", help="a base backup of the server")
    parser.add_argument("--pg-bin", type=Path, help="where PostgreSQL's programs are")
    return parser.parse_args()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise Refused(f"{folder} is there already: name a new folder.") from None


def copy_node(home: Path, to: Path) -> None:
    """The journal, and the snapshot with which a gateway starts without a database.

    Files of the journal only grow, so a copy is a beginning of each; a record that is cut in two
    is told by its checksum. What was shipped meanwhile has moved to `shipped/`, copied last.
    """
    journal = home / "journal"
    (to / "journal" / "shipped").mkdir(parents=True)
    for pattern in ("journal.id", "*.cvj", "quarantine/*", "shipped/*.cvj"):
        for path in sorted(journal.glob(pattern)):
            target = to / "journal" / path.relative_to(journal)
            target.parent.mkdir(exist_ok=True)
            with suppress(FileNotFoundError):  # shipped in this moment
                shutil.copy2(path, target)
    if (home / "snapshot.bin").exists():
        shutil.copy2(home / "snapshot.bin", to / "snapshot.bin")


def copy_database(options: argparse.Namespace) -> str:
    """Returns what was made: `sqlite`, `dump` or `base`."""
    url = setting("DATABASE_URL")
    to: Path = options.to
    if not is_postgresql(url):
        _copy_sqlite(sqlite_path(url, options.home), to / "chatvault.sqlite3")
        return "sqlite"
    if options.physical:
        words = ["--pgdata", str(to / "base"), "--checkpoint=fast", "--wal-method=stream"]
        run("pg_basebackup", *words, binaries=options.pg_bin, env=libpq(url))
        return "base"
    words = [
        "--format=custom",
        "--no-owner",
        "--no-privileges",
        "--file",
        str(to / "database.dump"),
    ]
    run("pg_dump", *words, binaries=options.pg_bin, env=libpq(url))
    return "dump"


def _copy_sqlite(path: Path, to: Path) -> None:
    """A copy of one moment, taken while others write."""
    with (
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target)


if __name__ == "__main__":
    guarded(main)
