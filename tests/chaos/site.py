"""A whole installation: PostgreSQL, Redis, a provider, and nodes of ChatVault with N gateways."""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.processes import tree
from tests.chaos.native import Disk
from tests.chaos.servers import Kind, RedisServer, free_port
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.upstream import Seen
from tests.fakes.upstream.oracle import read_oracle
from tests.proofs.stage import Provider, wait_until
from tests.run.tree import ROOT, Tree, environment, is_running
from tests.servers.postgres import PostgresServer

DATABASE = "chatvault"
_FOLLOWED_S = 1.0
_READY = b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True)
class Spec:
    """What a scenario needs; scenarios with equal needs share a site."""

    nodes: int = 1
    processes: int = 4
    redis: Kind = "redis"
    postgres_behind_proxy: bool = False
    redis_behind_proxy: bool = False
    own_disk: bool = False
    """Its journals are on a disk that can be full and forgets what was not forced to it."""
    wrong_clocks: bool = False
    """Its processes' clocks can be set; see `set_clock`."""
    more: tuple[tuple[str, str], ...] = field(default=())
    """Settings of the nodes, as pairs."""


class Node:
    """One state folder and the processes that serve it."""

    def __init__(self, home: Path, words: tuple[str, ...], settings: Mapping[str, str]) -> None:
        self.home = home
        self.words = words
        self.settings = dict(settings)
        self.port = free_port()
        self.tree: Tree | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def journal(self) -> Path:
        return self.home / "journal"

    def start(self, **more: str) -> "Node":
        settings = {**self.settings, "PORT": str(self.port), **more}
        self.tree = Tree(self.home, *self.words, **settings).ready()
        return self

    def running(self) -> Tree:
        assert self.tree is not None
        return self.tree

    def gateways(self) -> list[int]:
        return self.running().all_of("gateway")

    def child(self, name: str) -> int:
        """Its process id, once it has one: 0 would mean this very process to `os.kill`."""
        wait_until(lambda: bool(self.running().child(name)))
        return self.running().child(name)

    def kill_everything(self) -> float:
        """SIGKILL to the supervisor and all that it started; the moment."""
        if self.tree is None:
            return time.monotonic()
        family = tree(self.tree.pid) if is_running(self.tree.pid) else []
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        self.tree.__exit__()
        self.tree = None
        wait_until(lambda: not any(map(is_running, family)))
        return killed_at

    def is_resolved(self, writer: int) -> bool:
        """All that a dead gateway has written is in the database."""
        return not list(self.journal.glob(f"*-{writer}-*.cvj"))

    def has_unshipped(self, offsets: Mapping[str, int]) -> bool:
        """Something is in a journal that is not in the database."""
        sizes = {}
        for path in self.journal.glob("*.cvj"):
            with suppress(FileNotFoundError):
                sizes[path.name] = path.stat().st_size
        live = [f"-{pid}-" for pid in (self.gateways() if self.tree else [])]
        return not all(
            any(mark in name for mark in live) and offsets.get(name, 0) == size
            for name, size in sizes.items()
        )


class Site:
    """It stands where a proof has its `Stage`, and answers the same questions."""

    def __init__(self, folder: Path, spec: Spec) -> None:
        self.spec = spec
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        self.postgres = PostgresServer(folder / "postgres", max_connections="160")
        self.redis = RedisServer(folder / "redis", kind=spec.redis)
        self.postgres_proxy: FaultProxy | None = None
        self.redis_proxy: FaultProxy | None = None
        self.nodes: list[Node] = []
        self._keys: dict[str, str] = {}
        self._settings: dict[str, str] = {}
        self._control: subprocess.Popen[str] | None = None
        self.disk: Disk | None = None
        self._ends = ExitStack()

    def start(self) -> "Site":
        """Everything, in the order of need; `stop` ends what was started, also after a failure."""
        self._ends.callback(self.postgres.kill)
        self.postgres.start().make_database(DATABASE)
        self._ends.callback(self.redis.kill)
        self.redis.start()
        self.provider = Provider(self.folder)
        self._ends.callback(self.provider.stop)
        if self.spec.postgres_behind_proxy:
            self.postgres_proxy = self._proxy(self.postgres.port)
        if self.spec.redis_behind_proxy:
            self.redis_proxy = self._proxy(self.redis.port)
        if self.spec.own_disk:
            self.disk = Disk(self.folder)
        self._settings = self._made_settings()
        for number in range(self.spec.nodes):
            words = () if number == 0 else ("--only", "gateway,ingest")
            disk = self.disk.settings() if self.disk else {}
            node = Node(self.folder / f"home{number}", words, {**self._settings, **disk})
            self.nodes.append(node)
            self._ends.callback(node.kill_everything)
            node.start()
        return self

    def stop(self) -> None:
        if self._control is not None:
            self._control.kill()
            self._control.wait(10)
        self._ends.close()

    def _proxy(self, port: int) -> FaultProxy:
        proxy = FaultProxy.to("127.0.0.1", port)
        self._ends.callback(proxy.stop)
        return proxy

    def _made_settings(self) -> dict[str, str]:
        postgres = self.postgres_proxy.port if self.postgres_proxy else None
        redis = self.redis_proxy.port if self.redis_proxy else None
        return {
            "CHATVAULT_PRIVATE_HOSTS": f"127.0.0.1:{self.provider.port}",
            "CHATVAULT_GATEWAY_PROCESSES": str(self.spec.processes),
            "CHATVAULT_SECRET_KEY": secrets.token_urlsafe(48),
            "CHATVAULT_KEY_PEPPER": base64.b64encode(secrets.token_bytes(32)).decode(),
            "CHATVAULT_VAULT_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            "DATABASE_URL": self.postgres.tcp_url(DATABASE, port=postgres),
            "REDIS_URL": self.redis.url(redis),
            **({"CHATVAULT_CLOCK_SHIFTS": str(self._clocks())} if self.spec.wrong_clocks else {}),
            **dict(self.spec.more),
        }

    def set_clock(self, shift_s: float, pid: int | None = None) -> None:
        """From now on a process, or each that has no shift of its own, is wrong by so much."""
        path = self._clocks() / ("all" if pid is None else str(pid))
        draft = path.with_suffix(".new")
        draft.write_text(str(shift_s))
        draft.replace(path)

    def _clocks(self) -> Path:
        folder = self.folder / "clocks"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def node(self) -> Node:
        return self.nodes[0]

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    @property
    def url(self) -> str:
        return self.node.url

    def gateways(self) -> list[tuple[Node, int]]:
        return [(node, pid) for node in self.nodes for pid in node.gateways()]

    def key_of(self, client: str) -> str:
        return self._keys.setdefault(_variable(client), secrets.token_urlsafe(32))

    def secret_of(self, client: str) -> str:
        """How a document refers to the client's key."""
        self.key_of(client)
        return f"env:{_variable(client)}"

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """The control plane; see `control`. An answer with `error` is an answer too."""
        if self._control is None or self._control.poll() is not None:
            settings = {**self._settings, "DATABASE_URL": self.postgres.tcp_url(DATABASE)}
            self._control = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.control"],
                cwd=ROOT,
                env=environment(self.folder / "control", **settings),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
        assert self._control.stdin is not None and self._control.stdout is not None
        self._control.stdin.write(json.dumps({"do": do, "environ": self._keys, **what}) + "\n")
        told: dict[str, Any] = json.loads(self._control.stdout.readline())
        return told

    def apply(self, document: Mapping[str, Any], *, is_followed: bool = True) -> int:
        """Apply a document and wait until gateways follow it, or only so long as that takes;
        returns its revision."""
        told = self.ask("apply", document=document)
        assert "error" not in told, told["error"]
        revision = int(told["revision"])
        time.sleep(_FOLLOWED_S)
        if not is_followed:
            return revision
        wait_until(lambda: all(self.version(node) >= revision for node in self.nodes))
        return revision

    def version(self, node: Node) -> int:
        """The revision that one of the node's gateways serves; 0 when none answers."""
        import urllib.request

        with suppress(OSError), urllib.request.urlopen(f"{node.url}/readyz", timeout=5) as answer:
            return int(json.load(answer)["snapshot"])
        return 0

    def verdict(self) -> str:
        """`clean`, or what `verify_ledger` finds."""
        told = self.ask("verify")
        return "clean" if told == {"wrong": {}} else json.dumps(told)

    def counters_wrong(self) -> str:
        """At rest Redis says what the ledger says, and no request is open in it: what differs."""
        told = self.ask("limits")
        if "error" in told:
            return str(told["error"])
        wrong = [
            f"budget {budget}: {settled} settled and {booked} booked, in the ledger {right}"
            for budget, settled, _, booked, _, right in told["budgets"]
            if settled + booked != right
        ]
        open_ = [f"{owner} holds {n} requests" for owner, n in told["requests"].items() if n]
        return "; ".join(wrong + open_)

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """A look into the database, around every proxy."""
        with psycopg.connect(self.postgres.url(DATABASE), autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[arg-type]
            return [tuple(map(_plain, row)) for row in cursor.fetchall()]

    def execute(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.postgres.url(DATABASE), autocommit=True) as connection:
            connection.execute(statement, values or None)  # type: ignore[arg-type]

    def is_healed(self) -> bool:
        """Nothing is open, and nothing is in a journal that is not in the database."""
        if self.query("SELECT COUNT(*) FROM usage_openintent")[0][0]:
            return False
        offsets = dict(self.query('SELECT segment, "offset" FROM usage_journalcursor'))
        return not any(node.has_unshipped(offsets) for node in self.nodes)

    def forget_calls(self) -> None:
        """The provider's log begins anew; nothing may be running."""
        os.truncate(self.folder / "oracle.jsonl", 0)

    def calls(self) -> list[Seen]:
        return read_oracle(self.folder / "oracle.jsonl")


def _variable(client: str) -> str:
    return f"PROOF_{client.upper().replace('-', '_')}"


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return value.hex
    return int(value) if isinstance(value, Decimal) else value
