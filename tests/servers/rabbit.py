"""A real RabbitMQ: a node of its own on loopback ports, with its own name daemon and cookie."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

_START_TIMEOUT_S = 60.0
_CANDIDATES = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",  # what Debian's wrapper starts as another user
    "rabbitmq-server",
)


class RabbitServer:
    """One node. `kill` ends it as a crash would; `start` brings it back with its queues."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._node: subprocess.Popen[bytes] | None = None
        self._names: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self._names_port = free_port()
        self._between_nodes_port = free_port()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    @property
    def pid(self) -> int:
        assert self._node is not None
        return self._node.pid

    def start(self) -> Self:
        """Returns once clients are served; raises RuntimeError."""
        if self._names is None:
            self._start_names()
        with (self._folder / "log").open("ab") as log:
            self._node = subprocess.Popen(
                [_binary()], env=self._environment(), stdout=log, stderr=log, cwd=self._folder
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            if self._node.poll() is not None or time.monotonic() > deadline:
                text = (self._folder / "log").read_text(errors="replace")
                raise RuntimeError(f"RabbitMQ did not start:\n{text}")
            time.sleep(0.1)
        return self

    def kill(self) -> None:
        if self._node is not None and self._node.poll() is None:
            self._node.kill()
            self._node.wait(20)

    def stop(self) -> None:
        """Node and name daemon; nothing of them stays."""
        self.kill()
        if self._names is not None:
            self._names.kill()
            self._names.wait(10)
            self._names = None

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Started, and ended with the block."""
        try:
            yield self.start()
        finally:
            self.stop()

    def _start_names(self) -> None:
        epmd = shutil.which("epmd")
        if epmd is None:
            raise RuntimeError("Erlang's epmd is missing: install rabbitmq-server.")
        words = [epmd, "-port", str(self._names_port), "-address", "127.0.0.1"]
        self._names = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not _is_open(self._names_port):
            if time.monotonic() > deadline:
                raise RuntimeError("epmd did not start.")
            time.sleep(0.02)

    def _environment(self) -> dict[str, str]:
        folder = str(self._folder)
        return {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._names_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the node: one pid
            "RABBITMQ_NODENAME": f"chatvault-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._between_nodes_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": folder,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none.sh",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
            ),
        }

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as client:
                client.settimeout(2)
                client.sendall(b"AMQP\x00\x00\x09\x01")
                return client.recv(1) == b"\x01"
        except OSError:
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _binary() -> str:
    for name in _CANDIDATES:
        if found := shutil.which(name):
            return found
    raise RuntimeError("RabbitMQ is missing: apt-get install rabbitmq-server.")


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """Started at first use, one for each test process."""
    folder = Path(tempfile.mkdtemp(prefix="cv-rabbit-"))
    with RabbitServer(folder).running() as server:
        yield server
    shutil.rmtree(folder)
