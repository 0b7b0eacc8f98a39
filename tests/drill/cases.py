"""The disasters, and what must be true after each."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import free_port
from tests.drill.books import Books
from tests.drill.site import BACKUP, Site
from tests.drill.traffic import Acked, Traffic
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer

BEFORE = 1000  # answers before the backup
DURING = 500  # and between its end and the disaster


@dataclass(frozen=True, slots=True)
class Result:
    """What one restore has shown. `wrong`: what must not be, one line each."""

    name: str
    acked: int
    lost: int
    differing: int
    lost_s: float  # before the disaster: from the first lost answer on
    backup_s: float
    restore_s: float  # from an empty folder to the first answer with a key from before
    wrong: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.wrong

    def line(self) -> str:
        told = (
            f"{self.name}: {self.acked} acknowledged, {self.lost} lost, {self.differing} differ, "
            f"RPO {self.lost_s:.1f} s, backup {self.backup_s:.1f} s, RTO {self.restore_s:.1f} s"
        )
        return "; ".join([told, *self.wrong])


@dataclass(slots=True)
class Source:
    """What is known of the site that was destroyed."""

    books: Books
    key: str
    acked: list[Acked]
    backup_began: float
    died: float
    backup_s: float
    disk: Path
    backup: Path
    secrets: Path


def drill_sqlite(folder: Path) -> Iterator[Result]:
    site = Site(folder / "source")
    try:
        source = _destroy(site.start(), folder)
    finally:
        site.close()
    shutil.rmtree(site.home)
    for survives in (False, True):
        home = folder / f"restored-{survives}"
        name = "SQLite, " + ("database file lost" if survives else "everything lost")
        yield _restore(name, Site(home), source, survives=survives)


def drill_postgres(folder: Path) -> Iterator[Result]:
    with ExitStack() as servers:
        archive = _archive(folder)
        postgres = servers.enter_context(_postgres(folder / "pg", archive))
        site = Site(folder / "source", **_surroundings(servers, folder / "valkey", postgres))
        binaries = ("--pg-bin", postgres.binaries)
        try:
            site.start()
            source = _destroy(site, folder, *binaries, physical_to=folder / "physical")
        finally:
            site.close()
        postgres.server.kill()
        shutil.rmtree(site.home)
        shutil.rmtree(postgres.server.data)
        clean = servers.enter_context(_postgres(folder / "clean", None))
        for survives in (False, True):
            database = clean.server.make_database(f"restored_{survives}".lower())
            more = _surroundings(servers, folder / f"valkey-{survives}", clean, database)
            name = "PostgreSQL dump, " + ("database lost" if survives else "everything lost")
            restored = Site(folder / f"restored-{survives}", **more)
            yield _restore(name, restored, source, *binaries, survives=survives)
        base = servers.enter_context(_from_base(folder, folder / "physical" / "base", archive))
        more = _surroundings(servers, folder / "valkey-base", base)
        source.backup = folder / "physical"
        name = "PostgreSQL base backup and WAL, server lost"
        restored = Site(folder / "restored-base", **more)
        yield _restore(name, restored, source, *binaries, survives=True)


def _destroy(
    site: Site, folder: Path, *binaries: object, physical_to: Path | None = None
) -> Source:
    """Traffic, a backup meanwhile, more traffic, and `kill -9` to everything."""
    key = site.key()
    traffic = Traffic(site.url, key).start()
    backup, secrets = folder / "backup", folder / "secrets"
    try:
        traffic.until(BEFORE)
        began = time.monotonic()
        words = ("--home", site.home, "--to", backup, "--secrets-to", secrets, *binaries)
        site.backup("backup.py", *words)
        took_s = time.monotonic() - began
        if physical_to is not None:
            what = ("--what", "database", "--physical")
            site.backup("backup.py", "--home", site.home, "--to", physical_to, *what, *binaries)
        traffic.until(len(traffic.acked) + DURING)
        site.kill()
        died = time.monotonic()
    finally:
        traffic.stop()
    disk = site.disk(folder / "disk")
    site.manage("ingest", "--once")  # the source's own truth, to compare with
    acked = [one for one in traffic.acked if one.at <= died]
    return Source(site.books(), key, acked, began, died, took_s, disk, backup, secrets)


def _restore(name: str, site: Site, source: Source, *binaries: object, survives: bool) -> Result:
    began = time.monotonic()
    words: list[object] = ["--from", source.backup, "--secrets-from", source.secrets]
    words += ["--home", site.home, *binaries, *(("--node", source.disk) if survives else ())]
    site.backup("restore.py", *words)
    site.manage("ingest", "--once", "--again")
    verdict = site.manage("verify_ledger")
    books = site.books()
    try:
        site.start().answers(source.key)
        restore_s = time.monotonic() - began
        stopped = site.stop()
    finally:
        site.close()
    lost = [one for one in source.acked if one.request_id not in books.requests]
    known = [one for one in books.requests if books.outcome(one) != "interrupted" or survives]
    differing = sum(books.of(one) != source.books.of(one) for one in known)
    wrong = ["DIFFER" in verdict and "verify_ledger finds differences"]
    wrong += [differing and f"{differing} differ from the source"]
    if survives:
        wrong += [books.sums != source.books.sums and "sums differ from the source"]
        wrong += [books.requests.keys() != source.books.requests.keys() and "not the same requests"]
        wrong += [lost and f"{len(lost)} acknowledged requests are lost"]
    else:
        early = [one for one in lost if one.at < source.backup_began]
        wrong += [early and f"{len(early)} lost that were acknowledged before the backup"]
    lost_s = source.died - min(one.at for one in lost) if lost else 0.0
    wrong += [stopped and f"the stop ended with {stopped}"]
    told = tuple(str(line) for line in wrong if line)
    return Result(
        name, len(source.acked), len(lost), differing, lost_s, source.backup_s, restore_s, told
    )


class _Postgres:
    """A server for a `with`, and where its programs are."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.binaries = server._binaries

    def __enter__(self) -> "_Postgres":
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()


def _postgres(folder: Path, archive: Path | None) -> _Postgres:
    folder.mkdir(mode=0o755)
    settings = {"fsync": "on", "full_page_writes": "on"}
    if archive is not None:
        command = f"{archive.parent}/archive-wal.sh %p %f {archive}"
        settings |= {"archive_mode": "on", "archive_command": command, "archive_timeout": "5"}
    return _Postgres(PostgresServer(folder / "server", **settings))


def _archive(folder: Path) -> Path:
    """A folder that PostgreSQL's user may write to, with the script beside it."""
    place = folder / "wal"
    place.mkdir(mode=0o755)
    shutil.copy2(BACKUP / "archive-wal.sh", place)
    (place / "archive").mkdir()
    (place / "archive").chmod(0o777)
    return place / "archive"


def _surroundings(
    stack: ExitStack, folder: Path, postgres: _Postgres, database: str = ""
) -> dict[str, str]:
    """An empty Redis of its own, two gateway processes, and the database."""
    folder.mkdir()
    valkey = ValkeyServer(folder).start()
    stack.callback(valkey.kill)
    return {
        "DATABASE_URL": database or postgres.server.url("postgres"),
        "REDIS_URL": valkey.url,
        "CHATVAULT_GATEWAY_PROCESSES": "2",
        "PORT": str(free_port()),
    }


def _from_base(folder: Path, base: Path, archive: Path) -> _Postgres:
    """Puts a base backup back, as docs/backup.md says: copy, restore_command, recovery.signal."""
    (folder / "base").mkdir(mode=0o755)
    server = PostgresServer(folder / "base" / "server")
    server._folder.mkdir(mode=0o755)
    shutil.copytree(base, server.data)
    with (server.data / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.write(f"restore_command = 'cp {archive}/%f %p'\n")
    (server.data / "recovery.signal").touch()
    if os.geteuid() == 0:
        owner = server._as_user
        for path in (server._folder, server.data, *server.data.rglob("*")):
            os.chown(path, owner["user"], owner["group"])
    server.data.chmod(0o700)
    return _Postgres(server)
