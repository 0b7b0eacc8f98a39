"""The real gateway on loopback: its ASGI app under uvicorn, with a data plane made by hand.

Everything is real but the database and the providers: keys, limits, journal, pool and guard.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import uvicorn

from apps.accounts.credentials import OAUTH_PREFIX, Asker, KeyRecord, Question, digest, issue_secret
from apps.accounts.key_cache import KeyCache
from apps.billing.limits import BudgetLimit, LocalLimits, QuotaLimit, ScopeLimits
from apps.billing.pricing import Price, Terms
from apps.gateway import lifecycle
from apps.gateway.http import app
from apps.gateway.lane import LaneProtocol
from apps.gateway.plane import DataPlane, PlaneOptions, View
from apps.gateway.snapshot.model import Alias, Client, Deployment, Snapshot, Target
from apps.providers.adapters.contract import Endpoint
from apps.providers.upstream import Caps, UpstreamPool
from apps.usage.journal import Journal, Settle
from apps.usage.records import HEAD_BYTES, Record, decode_payload, frame_end
from apps.usage.segments import list_segments
from chatvault.lib.http_guard import AddressGuard
from chatvault.lib.redact import Secret

PEPPER = b"p" * 32
SECRET = "sk-provider-secret-0123456789"
BOOK_ID = 1
T = TypeVar("T")

# Nano-USD per million tokens: 1 USD in, 2 USD out, so one token is 1,000 or 2,000 nano-USD.
INPUT_NANO, OUTPUT_NANO = 1_000, 2_000
PATIENT = PlaneOptions(
    pepper=PEPPER,
    connect_timeout_s=10.0,
    first_byte_timeout_s=10.0,
    idle_timeout_s=10.0,
    total_timeout_s=20.0,
)


class Server:
    """uvicorn as `manage.py serve` starts it, in a thread; serves whatever plane is in use."""

    def __init__(self) -> None:
        self._config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            loop="uvloop",
            http=LaneProtocol,
            lifespan="off",
            log_config=None,
            server_header=False,
        )
        self._server = uvicorn.Server(self._config)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def start(self) -> "Server":
        self._thread.start()
        if not self._ready.wait(10):
            raise TimeoutError("the gateway did not start")
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the gateway's own event loop and wait for the result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def _run(self) -> None:
        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            serving = asyncio.create_task(self._server.serve())
            while not self._server.started:  # noqa: ASYNC110 – uvicorn tells it by a flag alone
                await asyncio.sleep(0.005)
            self.port = self._server.servers[0].sockets[0].getsockname()[1]
            self._ready.set()
            await serving

        with asyncio.Runner(loop_factory=self._config.get_loop_factory()) as runner:
            runner.run(main())


class Gateway:
    """One test's gateway: add models and clients, call it at `url`, read its books."""

    def __init__(self, server: Server, folder: Path, options: PlaneOptions = PATIENT) -> None:
        self._server = server
        self._folder = folder / "journal"
        self._options = options
        self._deployments: dict[int, Deployment] = {}
        self._endpoints: dict[int, Endpoint] = {}
        self._aliases: dict[str, Alias] = {}
        self._clients: dict[int, Client] = {}
        self._more_limits: dict[str, dict[int, ScopeLimits]] = {
            kind: {} for kind in ("key", "user", "alias", "provider")
        }
        self._prices: dict[str, tuple[Price, ...]] = {}
        self._keys: dict[str, KeyRecord] = {}
        self._version = 0
        self.limits = LocalLimits()
        self.journal = Journal(self._folder, segment_bytes=2**18)
        self.plane = server.run(self._make())

    async def _make(self) -> DataPlane:
        self.journal.open()
        pool = UpstreamPool(
            AddressGuard(("127.0.0.1",)),
            caps=Caps(body_bytes=8 * 2**20, decompressed_bytes=8 * 2**20),
        )
        plane = DataPlane(
            options=self._options,
            view=self._view(),
            keys=KeyCache(self._find_keys, asker=Asker([PEPPER])),
            limits=self.limits,
            journal=self.journal,
            pool=pool,
        )
        lifecycle.use(plane)
        return plane

    def close(self) -> None:
        lifecycle.use(None)
        self._server.run(self.plane.pool.close())
        self.journal.close()

    # where

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    # what it offers

    def add_model(
        self,
        alias: str,
        base_url: str,
        *,
        family: str = "openai",
        model: str | None = None,
        models: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        secret: str = SECRET,
        is_priced: bool = True,
        max_output_tokens: int | None = None,
    ) -> None:
        """An alias, ordered over deployments of `models` (default: `model`, default: its name)."""
        targets = []
        for at, name in enumerate(models or [model or alias]):
            number = len(self._deployments) + 1
            deployment = Deployment(
                id=number, name=f"{name}@{number}", provider=family, family=family,
                base_url=base_url, model=name, options=dict(options or {}),
                max_output_tokens=max_output_tokens, provider_id=number,
            )  # fmt: skip
            self._deployments[number] = deployment
            self._endpoints[number] = Endpoint(
                family, base_url, name, Secret(secret), dict(options or {})
            )
            targets.append(Target(number, position=at))
            if is_priced:
                price = Price(number, name, INPUT_NANO * 10**6, OUTPUT_NANO * 10**6)
                self._prices[name] = (price,)
        number = len(self._aliases) + 1
        self._aliases[alias] = Alias(number, alias, "ordered", 1_700_000_000, tuple(targets))
        self._adopt()

    def add_client(
        self,
        *,
        aliases: frozenset[str] | None = None,
        quotas: tuple[QuotaLimit, ...] = (),
        budgets: tuple[BudgetLimit, ...] = (),
        is_active: bool = True,
        key_is_active: bool = True,
        expires_at_s: float | None = None,
        key_aliases: frozenset[str] | None = None,
    ) -> str:
        """A client with one key; returns the key."""
        number = len(self._clients) + 1
        scopes = (ScopeLimits("client", number, quotas, budgets),) if quotas or budgets else ()
        self._clients[number] = Client(
            id=number, name=f"client{number}", team_id=1, team="team", is_active=is_active,
            book_id=BOOK_ID, terms=Terms(), aliases=aliases, scopes=scopes,
        )  # fmt: skip
        secret = issue_secret()
        self._keys[digest(secret.encode(), PEPPER)] = KeyRecord(
            number, number, f"key{number}", key_is_active, expires_at_s, key_aliases
        )
        self._adopt()
        return secret

    def limit(self, kind: str, number: int, *quotas: QuotaLimit) -> None:
        """Quotas of a key, a user, an alias or a provider, of which each deployment has one. They
        are numbered in the order in which they were added."""
        self._more_limits[kind][number] = ScopeLimits(kind, number, quotas)
        self._adopt()

    def add_token(self, key: str, prefix: str = OAUTH_PREFIX, **changes: Any) -> str:
        """A token of the client of `key`, as an OAuth application or another key would show it."""
        known = self._keys[digest(key.encode(), PEPPER)]
        secret = issue_secret(prefix)
        record = msgspec.structs.replace(known, **changes)
        self._keys[digest(secret.encode(), PEPPER)] = record
        return secret

    def remove_deployments(self, alias: str) -> None:
        """Take all that could serve an alias out of the snapshot."""
        for target in self._aliases[alias].targets:
            del self._deployments[target.deployment_id]
            del self._endpoints[target.deployment_id]
        self._adopt()

    def _view(self) -> View:
        self._version += 1
        snapshot = Snapshot(
            version=self._version,
            built_at_s=time.time(),
            deployments=dict(self._deployments),
            aliases=dict(self._aliases),
            prices={BOOK_ID: dict(self._prices)},
            clients=dict(self._clients),
            **{f"{kind}_limits": dict(known) for kind, known in self._more_limits.items()},
        )
        return View(snapshot, dict(self._endpoints), self._options)

    def _adopt(self) -> None:
        async def adopt() -> None:
            self.plane.adopt(self._view())

        self._server.run(adopt())

    async def _find_keys(self, questions: Sequence[Question]) -> dict[str, KeyRecord]:
        digests = [question.digest for question in questions]
        return {one: self._keys[one] for one in digests if one in self._keys}

    # what it booked

    def records(self) -> list[Record]:
        """Everything in the journal, in order."""
        found: list[Record] = []
        for path in list_segments(self._folder):
            data, at = path.read_bytes(), 0
            while end := frame_end(data, at):
                found.append(decode_payload(data[at + HEAD_BYTES : end]))
                at = end
        return found

    def settled(self) -> list[Settle]:
        return [record for record in self.records() if isinstance(record, Settle)]

    def wait_settled(self, count: int = 1, timeout_s: float = 5.0) -> list[Settle]:
        """The settlements, once there are so many; a hang-up is settled after the client left."""
        self.wait_for(lambda: len(self.settled()) >= count, timeout_s)
        return self.settled()

    def wait_for(self, is_true: Callable[[], bool], timeout_s: float = 5.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_true():
            if time.monotonic() > deadline:
                raise TimeoutError("the gateway never came to the expected state")
            time.sleep(0.005)
