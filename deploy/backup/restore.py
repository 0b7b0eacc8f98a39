#!/usr/bin/env python3
"""Brings back what backup.py has taken, into a state folder and a database that are empty.

    restore.py --from /backups/2026-11-25 --secrets-from /vault/25 --home /var/lib/chatvault/gateway

`--node /old/journal` takes the journal of a node whose disk has survived instead of the one in the
backup: what it has kept brings the database up to the last request that was acknowledged.

Then, with nothing else running: `manage.py prepare`, `manage.py ingest --once --again`,
`manage.py verify_ledger`; and start with an empty Redis, which is rebuilt from the database.
A base backup (`--physical`) is put back as docs/backup.md says: it is a whole server.
"""

import argparse
import shutil
import subprocess
from pathlib import Path

from database import is_postgresql, libpq, run, setting, sqlite_path
from manifest import Refused, guarded, read_manifest


def main() -> None:
    options = _options()
    told = read_manifest(options.source)
    if options.secrets_source:
        read_manifest(options.secrets_source)
    home: Path = options.home
    if home.exists() and any(home.iterdir()):
        raise Refused(f"{home} is not empty: restore into a new folder.")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    journal = options.node or options.source / "node" / "journal"
    if journal.is_dir():
        ignored = shutil.ignore_patterns("*.lock", "*.new", "*.part", "ingest.json")
        shutil.copytree(journal, home / "journal", ignore=ignored)
    if (snapshot := options.source / "node" / "snapshot.bin").exists() and not options.node:
        shutil.copy2(snapshot, home / "snapshot.bin")
    if options.secrets_source:
        shutil.copytree(options.secrets_source / "secrets", home / "secrets")
    _close_to_others(home)
    restore_database(options, told["database"])
    print(f"restore.py: {home} is restored from {options.source}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--from", dest="source", type=Path, required=True)
    parser.add_argument("--secrets-from", dest="secrets_source", type=Path)
    parser.add_argument("--home", type=Path, required=True, help="an empty state folder")
    parser.add_argument("--node", type=Path, help="the journal folder of a disk that survived")
    parser.add_argument("--pg-bin", type=Path, help="where PostgreSQL's programs are")
    return parser.parse_args()


def _close_to_others(home: Path) -> None:
    home.chmod(0o700)
    for path in home.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def restore_database(options: argparse.Namespace, kind: str) -> None:
    """Into an empty one; raises Refused when it is not."""
    url = setting("DATABASE_URL")
    if kind == "sqlite":
        target = sqlite_path(url, options.home)
        if target.exists():
            raise Refused(f"{target} is there already.")
        shutil.copyfile(options.source / "chatvault.sqlite3", target)
    elif kind == "dump":
        if not is_postgresql(url):
            raise Refused("The backup is of PostgreSQL: set DATABASE_URL to an empty database.")
        _refuse_used(options, url)
        words = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        target_words = ["--dbname", libpq(url)["PGDATABASE"], str(options.source / "database.dump")]
        run("pg_restore", *words, *target_words, binaries=options.pg_bin, env=libpq(url))


def _refuse_used(options: argparse.Namespace, url: str) -> None:
    """pg_restore would add to what is there."""
    tool = shutil.which("psql", path=str(options.pg_bin) if options.pg_bin else None)
    if tool is None:
        raise Refused("psql is missing: install PostgreSQL's client programs.")
    question = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    done = subprocess.run(
        [tool, "--no-psqlrc", "--tuples-only", "--no-align", "--command", question],
        env=libpq(url) | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Refused(f"The database cannot be reached: {done.stderr.strip()}")
    if done.stdout.strip() != "0":
        raise Refused("The database is not empty: restore into a new one.")


if __name__ == "__main__":
    guarded(main)
