"""Everything that ChatVault writes, shows and sends, as bytes with a name each."""

from __future__ import annotations

import gzip
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from valkey import Valkey

from tests.canary.marks import Canary


@dataclass(frozen=True)
class Place:
    name: str
    content: bytes


def hits(canaries: Iterable[Canary], places: Iterable[Place]) -> list[str]:
    """Where which canary is although it is not allowed there. No secret is told."""
    found = []
    marks = list(canaries)
    for place in places:
        for content in (place.content, *_opened(place.content)):
            found += [
                f"{mark.name} in {place.name}: {', '.join(forms[:3])}"
                for mark in marks
                if not place.name.startswith(mark.allowed or ("\0",))
                and (forms := mark.found_in(content))
            ]
    return found


def _opened(content: bytes) -> Iterator[bytes]:
    """What is compressed whole."""
    if content[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError, zlib.error):
            yield gzip.decompress(content)


def files(home: Path, *, without: tuple[str, ...] = ("secrets",)) -> Iterator[Place]:
    """Every file of the state folder; databases as their bytes, free pages included."""
    for path in sorted(home.rglob("*")):
        inside = path.relative_to(home)
        if path.is_file() and inside.parts[0] not in without:
            with suppress(OSError):
                yield Place(f"file {inside}", path.read_bytes())


def sqlite_columns(file: Path) -> Iterator[Place]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in names:
            cursor = database.execute(f'SELECT * FROM "{table}"')
            columns = [each[0] for each in cursor.description]
            yield from _by_column(table, columns, cursor.fetchall())


def postgres_columns(url: str) -> Iterator[Place]:
    with psycopg.connect(url, autocommit=True) as database:
        names = database.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        for (table,) in names:
            cursor = database.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
            columns = [each.name for each in cursor.description or ()]
            yield from _by_column(table, columns, cursor.fetchall())


def _by_column(table: str, columns: list[str], rows: list[tuple[object, ...]]) -> Iterator[Place]:
    for number, column in enumerate(columns):
        values = [_bytes(row[number]) for row in rows]
        yield Place(f"column {table}.{column}", b"\n".join(values))


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def valkey_keys(client: Valkey) -> Iterator[Place]:
    """Every key with its value: limits, announcements, the queue."""
    for key in client.scan_iter():
        value = client.dump(key) or b""
        yield Place(f"redis {_bytes(key)[:40]!r}", _bytes(key) + b"\n" + value)
        with suppress(Exception):  # a list of the queue: its messages are base64 inside of JSON
            for message in client.lrange(key, 0, -1):
                yield Place(f"redis message {_bytes(key)[:40]!r}", _bytes(message))


def processes(root: int) -> Iterator[Place]:
    """What `ps e` tells of ChatVault's processes: arguments, titles and surroundings."""
    for pid in sorted(_family(root)):
        folder = Path(f"/proc/{pid}")
        for name in ("cmdline", "comm", "environ"):
            with suppress(OSError):
                yield Place(f"process {name} of {pid}", (folder / name).read_bytes())


def _family(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                stat = Path(f"/proc/{name}/stat").read_text()
                parents[int(name)] = int(stat.rpartition(")")[2].split()[1])
    found = {root}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return found
