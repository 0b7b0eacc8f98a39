"""Where the data plane meets the control plane: the one place that knows both."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import DatabaseError, close_old_connections

from apps.accounts import bearers
from apps.accounts.credentials import Asker, KeyRecord, Question
from apps.accounts.key_cache import KeyCache
from apps.billing import held, provider_budgets, quota_uses, shared_limits
from apps.billing.limits import LocalLimits
from apps.billing.limits.contract import BudgetLimit, QuotaLimit
from apps.billing.limits.redis.limits import LoadedBudget, RedisLimits
from apps.configuration import announce
from apps.gateway import gate
from apps.gateway.callers import parse_networks
from apps.gateway.plane import DataPlane, PlaneOptions, View
from apps.gateway.snapshot import build, store
from apps.gateway.snapshot.follow import Follower, News
from apps.gateway.snapshot.model import Deployment, Snapshot
from apps.gateway.tally import keep_tally
from apps.providers.adapters.contract import Endpoint
from apps.providers.errors import SecretRefused, SecretUnavailable
from apps.providers.secrets import Vault, credential_context
from apps.providers.upstream import Caps, UpstreamPool
from apps.usage import refused
from apps.usage.journal import Journal
from apps.usage.limits_keeper import LimitsKeeper
from apps.usage.restore import Pending, costs_of, one_view, restore_budgets
from apps.usage.segments import journal_id, stored_owner
from chatvault.lib import clock
from chatvault.lib.errors import NotReady
from chatvault.lib.http_guard import AddressGuard
from chatvault.lib.peppers import parse_ring
from chatvault.lib.redact import Secret

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
MIB = 2**20
HELD_TIMEOUT_S = 0.5
RENEW_LEASES_S = 120.0  # a lease lasts 900 s
CORRECT_S = 1.0
PROVIDER_BUDGETS_S = 1.0


class ControlPlane:
    """The database, asked from a thread so that the event loop never waits for it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="control-plane")
        self._pending: list[Pending] = []

    async def _ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def ask() -> T:
            close_old_connections()
            return function(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    async def keys(self, questions: Sequence[Question]) -> Mapping[str, KeyRecord]:
        return await self._ask(bearers.answer, questions)

    async def since(self, last_id: int) -> tuple[int, Sequence[News]]:
        return await self._ask(announce.since, last_id)

    async def newest_announcement(self) -> int:
        return await self._ask(announce.newest_id)

    async def snapshot(self) -> Snapshot:
        return await self._ask(build.build_snapshot)

    async def load(self, budget_ids: Sequence[int]) -> Sequence[LoadedBudget]:
        return await self._ask(_load_budgets, list(budget_ids))

    async def look_after_redis(self, directory: Path) -> None:
        await self._ask(LimitsKeeper(directory, threading.Event()).look)

    async def restore(self, limits: LocalLimits, budget_ids: list[int] | None = None) -> None:
        restored = await self._ask(restore_budgets, budget_ids)
        limits.restore(restored.states)
        self._pending.extend(restored.pending)

    async def correct(self, limits: LocalLimits) -> None:
        """Give back what requests of a dead process were counted for and did not cost, once
        ingest has settled them."""
        pending, self._pending = self._pending, []
        try:
            costs = await self._ask(costs_of, [one.request_id for one in pending])
        except DatabaseError:
            self._pending.extend(pending)
            raise
        for one in pending:
            if one.request_id not in costs:
                self._pending.append(one)
                continue
            for budget_id, start_s in one.windows:
                limits.correct(budget_id, start_s, costs[one.request_id] - one.nano_usd)

    @property
    def is_settled(self) -> bool:
        """Whether all that was restored is known to be what it cost."""
        return not self._pending

    async def left_of_providers(self) -> Mapping[int, provider_budgets.Left]:
        return await self._ask(lambda: provider_budgets.left(clock.now()))

    async def save(self, snapshot: Snapshot, path: Path) -> None:
        await self._ask(store.save, snapshot, path)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Wiring:
    """Starts and stops one process's data plane."""

    def __init__(self) -> None:
        sections = settings.CHATVAULT
        self._sections = sections
        self._source = ControlPlane()
        self._store = Path(sections.home) / "snapshot.bin"
        self._vault = Vault(Secret(sections.vault.keys.get_secret_value()), home=sections.home)
        self._options = options_of(sections)
        self._limits: LocalLimits | RedisLimits = LocalLimits()
        self._follower: Follower | None = None
        self._plane: DataPlane | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> DataPlane:
        """Raises RuntimeError when there is neither a database nor a stored snapshot."""
        last_id, snapshot = await self._first_snapshot()
        journal = Journal(
            self._sections.journal.dir or Path(self._sections.home) / "journal",
            ack=self._sections.gateway.usage_ack,
            segment_bytes=self._sections.journal.segment_mib * MIB,
            cap_bytes=self._sections.journal.cap_mib * MIB,
            sync_interval_s=self._sections.journal.sync_interval_ms / 1000,
        )
        journal.open()
        if shared_limits.is_used():
            self._limits = await self._share_limits(journal)
        plane = DataPlane(
            options=self._options,
            view=self._view(snapshot),
            keys=KeyCache(
                self._source.keys,
                asker=Asker([self._options.pepper, *self._options.older_peppers], self._verify),
                size=self._sections.gateway.key_cache_size,
            ),
            limits=self._limits,
            journal=journal,
            pool=self._pool(),
        )
        follower = Follower(
            plane,
            self._source,
            last_id=last_id,
            interval_s=self._sections.gateway.snapshot_poll_s,
            make_view=self._view,
            adopted=self._prepare,
        )
        self._plane, self._follower = plane, follower
        refused.register(plane.refusals.report)
        self._tasks = [
            asyncio.create_task(follower.run()),
            asyncio.create_task(_keep_leases(plane)),
            asyncio.create_task(_follow_provider_budgets(self._source, plane)),
            asyncio.create_task(keep_tally(plane)),
        ]
        if isinstance(self._limits, LocalLimits):
            held.register(held_source(self._limits))
            quota_uses.register(uses_source(self._limits))
            self._tasks.append(asyncio.create_task(_correct_budgets(self._source, self._limits)))
        return plane

    async def stop(self) -> None:
        if isinstance(self._limits, LocalLimits):
            held.register(None)
            quota_uses.register(None)
        refused.register(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._plane is not None:
            await self._plane.pool.close()
            if isinstance(self._limits, RedisLimits):
                await self._limits.stop()
            self._plane.journal.close()
        self._source.close()

    async def _share_limits(self, journal: Journal) -> RedisLimits:
        """Limits that all processes share; until Redis can be used they are on standby."""
        redis = self._sections.redis
        directory = self._sections.journal_dir
        limits = RedisLimits(
            address=shared_limits.address(),
            prefix=redis.prefix,
            owner=stored_owner(journal_id(directory), journal.owner),
            load=self._source.load,
            processes=self._sections.gateway.processes,
            timeout_s=redis.timeout_ms / 1000,
            retry_s=redis.retry_s,
            standby_s=redis.standby_s,
            on_news=self._wake,
        )
        await self._source.look_after_redis(directory)  # it may be empty still
        await limits.start()
        return limits

    def _verify(self, token: str) -> dict[str, Any]:
        """By the newest snapshot that serves."""
        if self._plane is None:
            raise NotReady
        return self._plane.view.verifier.verify(token)

    def _wake(self) -> None:
        if self._follower is not None:
            self._follower.wake()

    async def _first_snapshot(self) -> tuple[int, Snapshot]:
        try:
            last_id = await self._source.newest_announcement()
            snapshot = await self._source.snapshot()
            if isinstance(self._limits, LocalLimits) and not shared_limits.is_used():
                await self._source.restore(self._limits)
            await self._source.save(snapshot, self._store)
        except DatabaseError as error:
            kept = store.load(self._store)
            if kept is None:
                raise RuntimeError(
                    "neither the database nor a stored snapshot can be read"
                ) from error
            logger.warning(
                "the database cannot be read; serving the stored revision %d", kept.version
            )
            return 0, kept
        return last_id, snapshot

    async def _prepare(self, snapshot: Snapshot) -> None:
        """Before a snapshot serves: budgets that are new to this process learn what is spent."""
        if isinstance(self._limits, LocalLimits):
            unknown = [i for i in budget_ids(snapshot) if not self._limits.knows(i)]
            if unknown:
                await self._source.restore(self._limits, unknown)
        await self._source.save(snapshot, self._store)

    def _view(self, snapshot: Snapshot) -> View:
        endpoints = {}
        for deployment in snapshot.deployments.values():
            try:
                endpoints[deployment.id] = self._endpoint(deployment)
            except (SecretUnavailable, SecretRefused) as error:
                logger.error("deployment %s is left out: %s", deployment.name, error)
        return View(snapshot, endpoints, self._options)

    def _endpoint(self, deployment: Deployment) -> Endpoint:
        secret = None
        if deployment.credential_id:
            context = credential_context(deployment.credential_id, deployment.origin)
            secret = self._vault.open(deployment.stored_secret, context)
        return Endpoint(
            family=deployment.family,
            base_url=deployment.base_url,
            model=deployment.model,
            secret=secret,
            options=deployment.options,
        )

    def _pool(self) -> UpstreamPool:
        upstream = self._sections.upstream
        body = upstream.max_body_mib * MIB
        return UpstreamPool(
            AddressGuard(upstream.private_hosts),
            proxy=upstream.proxy.get_secret_value() or None,
            no_proxy=upstream.no_proxy,
            idle_expiry_s=upstream.keepalive_s,
            caps=Caps(
                body_bytes=body,
                decompressed_bytes=body,
                open_per_origin=upstream.max_connections_per_host,
            ),
        )


def _load_budgets(budget_ids: list[int]) -> Sequence[LoadedBudget]:
    with one_view():
        return shared_limits.loaded(budget_ids)


async def _keep_leases(plane: DataPlane) -> None:
    while True:
        await asyncio.sleep(RENEW_LEASES_S)
        await plane.renew_leases()


async def _follow_provider_budgets(source: ControlPlane, plane: DataPlane) -> None:
    """While the database is away, what it said last holds until the periods end."""
    while True:
        if plane.view.snapshot.has_provider_budgets:
            try:
                plane.provider_limits.left = await source.left_of_providers()
            except DatabaseError as error:
                logger.warning("budgets of providers are not known: %s", type(error).__name__)
        else:
            plane.provider_limits.left = {}
        await asyncio.sleep(PROVIDER_BUDGETS_S)


async def _correct_budgets(source: ControlPlane, limits: LocalLimits) -> None:
    while True:
        await asyncio.sleep(CORRECT_S)
        if source.is_settled:
            continue
        try:
            await source.correct(limits)
        except DatabaseError as error:
            logger.warning("budgets are not corrected yet: %s", type(error).__name__)


def held_source(limits: LocalLimits) -> held.Source:
    """For threads of this process, such as the admin's: asks in the running event loop, which
    alone may touch the limits. An event loop that is too busy to say leaves all unknown."""
    loop = asyncio.get_running_loop()

    async def read(budgets: Sequence[BudgetLimit]) -> dict[int, int]:
        known = [budget for budget in budgets if limits.knows(budget.id)]
        return {budget.id: limits.usage_of(budget).held_nano for budget in known}

    def ask(budgets: Sequence[BudgetLimit]) -> Mapping[int, int]:
        answer = asyncio.run_coroutine_threadsafe(read(budgets), loop)
        try:
            return answer.result(timeout=HELD_TIMEOUT_S)
        except TimeoutError:
            answer.cancel()
            return {}

    return ask


def uses_source(limits: LocalLimits) -> quota_uses.Source:
    """The same for what quotas count now."""
    loop = asyncio.get_running_loop()

    async def read(quotas: Sequence[QuotaLimit]) -> dict[int, int]:
        return limits.used(quotas)

    def ask(quotas: Sequence[QuotaLimit]) -> Mapping[int, int] | None:
        answer = asyncio.run_coroutine_threadsafe(read(quotas), loop)
        try:
            return answer.result(timeout=HELD_TIMEOUT_S)
        except TimeoutError:
            answer.cancel()
            return None

    return ask


def budget_ids(snapshot: Snapshot) -> list[int]:
    scopes = [scope for client in snapshot.clients.values() for scope in client.scopes]
    scopes.extend(snapshot.key_limits.values())
    return sorted({budget.id for scope in scopes for budget in scope.budgets})


def options_of(sections: object) -> PlaneOptions:
    """The typed settings as the data plane takes them. Raises ValueError for a bad pepper."""
    gateway, upstream = sections.gateway, sections.upstream  # type: ignore[attr-defined]
    throttle = sections.throttle  # type: ignore[attr-defined]
    vault = sections.vault  # type: ignore[attr-defined]
    pepper, *older = parse_ring(vault.pepper.get_secret_value()).values()
    return PlaneOptions(
        pepper=pepper,
        older_peppers=tuple(older),
        max_body_bytes=gateway.max_body_mib * MIB,
        max_header_bytes=gateway.max_header_kib * 1024,
        default_max_output_tokens=gateway.default_max_output_tokens,
        budget_exhausted_status=gateway.budget_exhausted_status,
        max_attempts=upstream.max_attempts,
        connect_timeout_s=upstream.connect_timeout_s,
        first_byte_timeout_s=upstream.first_byte_timeout_s,
        idle_timeout_s=upstream.idle_timeout_s,
        total_timeout_s=upstream.total_timeout_s,
        gate=gate.options_of(gateway),
        failures_per_address=throttle.pace_of("key_failures_per_address"),
        failures_per_prefix=throttle.pace_of("key_failures_per_prefix"),
        trusted_proxies=parse_networks(sections.core.trusted_proxies),  # type: ignore[attr-defined]
    )
