"""`Limits` of one gateway process among many: the counters are in Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from apps.billing.limits import refusals
from apps.billing.limits.contract import Demand, Headroom, ScopeLimits
from apps.billing.limits.local import LEASE_S
from apps.billing.limits.peek import peek_redis
from apps.billing.limits.redis.address import Address
from apps.billing.limits.redis.grants import LOOKS_EVERY_S, Wants
from apps.billing.limits.redis.link import LinkLost
from apps.billing.limits.redis.plan import Plan, Plans
from apps.billing.limits.redis.script import Op, id_of
from apps.billing.limits.redis.standby import RETRY, Standby
from apps.billing.limits.redis.tie import BATCH, Tie, TieStats
from apps.billing.limits.windows import NEVER_NS
from chatvault.lib import clock
from chatvault.lib.errors import ChatVaultError, LimitsUnavailable

_RESERVE, _SETTLE, _RENEW = int(Op.RESERVE), int(Op.SETTLE), int(Op.RENEW)
ADMITTED, _EXHAUSTED, _HELD, _LIMITED, _AWAITING, UNKNOWN = 0, 2, 3, 4, 5, 6
_LUA_NEVER: Final = -1
_RECENT_S: Final = 5.0
_SAFETY: Final = 10  # of what is left, at most a tenth is granted to all processes together
US = 1_000


class LoadedBudget(msgspec.Struct, frozen=True):
    """What the ledger says of a budget: windows are (start, settled nano-USD, booking number)."""

    id: int
    period: str
    oldest_s: int
    windows: tuple[tuple[int, int, int], ...]

    def asked(self) -> tuple[Any, ...]:
        windows = [(start_s, str(nano), booking) for start_s, nano, booking in self.windows]
        return self.id, self.period, self.oldest_s, windows


Load = Callable[[Sequence[int]], Awaitable[Sequence[LoadedBudget]]]


class _Live(msgspec.Struct, gc=False):
    """What one request holds, as this process remembers it."""

    plan: Plan
    tokens: int
    nano_usd: int
    held: list[tuple[int, int]]  # budget id, start of the window
    headroom: Headroom
    is_roomy: bool = False  # nobody waits for what it gives back
    is_alone: bool = False  # admitted without Redis


class RedisLimits:
    """See `Limits`. `start` it in the loop that serves; before that and while Redis is away it
    admits what `Standby` admits.

    `_untold` is what Redis has to be told before it is asked again: requests that were admitted
    or ended while it was away. `load` asks the control plane what budgets have spent that Redis
    does not know; it may raise anything.
    """

    def __init__(
        self,
        *,
        address: Address,
        prefix: str,
        owner: str,
        load: Load,
        processes: int = 1,
        timeout_s: float = 0.025,
        retry_s: float = 0.5,
        standby_s: float = 5.0,
        lease_s: int = LEASE_S,
        on_news: Callable[[], None] | None = None,
        wall_ns: Callable[[], int] = clock.wall_ns,
        monotonic_ns: Callable[[], int] = clock.monotonic_ns,
        now_us: Callable[[], int] | None = None,
    ) -> None:
        self._owner, self._load = owner, load
        self._processes, self._standby_s = processes, standby_s
        self._wall_ns = wall_ns
        self._plans = Plans()
        self._live: dict[bytes, _Live] = {}
        self._untold: dict[bytes, tuple[Any, ...]] = {}
        self._wants = Wants(standby_s)
        self._standby = Standby(lease_s=lease_s, monotonic_ns=monotonic_ns, wall_ns=wall_ns)
        self._tie = Tie(
            address=address,
            prefix=prefix,
            owner=owner,
            lease_s=lease_s,
            timeout_s=timeout_s,
            retry_s=retry_s,
            resync=self._resync,
            joined=self._joined,
            turn=self._turn,
            went_down=self._standby.begin,
            told_in_vain=self._said_in_vain,
            on_news=on_news,
            now_us=now_us,
        )
        self._granted_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self, patience_s: float = 2.0) -> None:
        """Come up if Redis can be reached in time; later otherwise."""
        self._task = asyncio.create_task(self._tie.run())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tie.came_up.wait(), patience_s)

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            if self._tie.is_up:
                with contextlib.suppress(LinkLost):
                    await self._tie.ask(_RENEW, "")  # and with it all that waits to be told
                    await self._drop_grants()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._tie.close()

    @property
    def is_up(self) -> bool:
        return self._tie.is_up

    @property
    def stats(self) -> TieStats:
        return self._tie.stats

    @property
    def admitted_alone(self) -> int:
        """Requests that were admitted while Redis was away, since the start."""
        return self._standby.admitted

    @property
    def clock_offset_ns(self) -> int:
        """The server's wall clock less that of this machine, where it is followed."""
        return clock.offset_ns()

    async def reserve(
        self, request_id: bytes, scopes: tuple[ScopeLimits, ...], demand: Demand
    ) -> Headroom:
        """See `Limits.reserve`; also LimitsUnavailable."""
        known = self._live.get(request_id)
        if known is not None:
            return known.headroom
        tokens, nano, output = demand.tokens, demand.nano_usd, demand.output_tokens
        if nano < 0 or output < 0 or tokens < output:
            raise ValueError("a demand is not negative")
        plan = self._plans.of(scopes, self._wall_ns())
        plan.used_at = clock.monotonic()
        if not self._tie.is_up:
            return await self._go_on_alone(request_id, plan, demand)
        plan.recent_nano = max(plan.recent_nano, nano)
        asked = (_RESERVE, id_of(request_id), tokens, str(nano), plan.quotas_raw)
        try:
            answer = await self._tie.ask(*asked, plan.budgets_raw, output)
            if answer[0] == UNKNOWN:
                await self._load_unknown(answer[1])
                answer = await self._tie.ask(*asked, plan.budgets_raw, output)
        except LinkLost:  # it may have been done all the same
            self._untold[request_id] = (Op.RELEASE, id_of(request_id))
            return await self._go_on_alone(request_id, plan, demand)
        except asyncio.CancelledError:
            self._say(request_id, (Op.RELEASE, id_of(request_id)))
            raise
        if answer[0] != ADMITTED:
            raise self._refusal(answer, plan, demand)
        headroom = plan.headroom(answer)
        held = [
            (budget.id, start_s)
            for (_, budget), start_s in zip(plan.budgets, answer[7], strict=True)
        ]
        headroom.budgets = tuple(held)
        self._live[request_id] = _Live(plan, tokens, nano, held, headroom, answer[8])
        plan.hold(nano)
        return headroom

    async def peek(self, scopes: tuple[ScopeLimits, ...], demand: Demand) -> Headroom:
        """See `Limits.peek`; also LimitsUnavailable."""
        return await peek_redis(self, scopes, demand)

    async def extend(self, request_id: bytes, nano_usd: int) -> bool:
        """See `Limits.extend`. While Redis is away only what it granted can be held."""
        if nano_usd < 0:
            raise ValueError("an extension is not negative")
        live = self._live.get(request_id)
        if live is None:
            return False
        if live.is_alone and not self._tie.is_up:
            is_held = await self._standby.extend(request_id, nano_usd)
        else:
            newest = self._newest(live.plan)
            amounts = [str(most) for most in newest.most][: len(live.held)]
            try:
                is_held = await self._tie.ask(
                    Op.EXTEND, id_of(request_id), str(nano_usd), amounts, newest.windows()
                )
            except LinkLost:
                return False
        if is_held:
            live.nano_usd += nano_usd
            live.plan.hold(nano_usd)
        return bool(is_held)

    async def renew(self, request_id: bytes) -> bool:
        """See `Limits.renew`. Slots are announced anew when Redis is back."""
        live = self._live.get(request_id)
        if live is None:
            return False
        try:
            return bool(await self._tie.ask(Op.RENEW, id_of(request_id)))
        except LinkLost:
            return True

    async def settle(
        self, request_id: bytes, *, tokens: int, nano_usd: int, output_tokens: int = 0
    ) -> None:
        """See `Limits.settle`. Does not wait for Redis."""
        if nano_usd < 0 or output_tokens < 0 or tokens < output_tokens:
            raise ValueError("a settlement is not negative")
        live = self._live.pop(request_id, None)
        if live is None:
            return
        live.plan.spent_nano += nano_usd
        live.plan.hold(-live.nano_usd)
        used = (tokens, nano_usd, output_tokens)
        if live.is_alone:
            await self._standby.settle(request_id, *used)
        elif self._tie.is_up:
            said = (_SETTLE, id_of(request_id), tokens, str(nano_usd), output_tokens)
            self._tie.tell(said, (request_id, live, *used), can_wait=live.is_roomy)
            return
        self._say(request_id, self._ended(request_id, live, *used))

    async def release(self, request_id: bytes) -> None:
        """See `Limits.release`. Does not wait for Redis."""
        live = self._live.pop(request_id, None)
        if live is None:
            return
        live.plan.hold(-live.nano_usd)
        if live.is_alone:
            await self._standby.release(request_id)
        self._say(request_id, (Op.RELEASE, id_of(request_id)))

    async def load(self, budgets: Sequence[LoadedBudget]) -> None:
        """Say what the ledger says. Raises LinkLost."""
        await self._tie.ask(Op.LOAD, [budget.asked() for budget in budgets])

    def _say(self, request_id: bytes, operation: tuple[Any, ...]) -> None:
        """Tell Redis now, or as soon as it is back."""
        if not self._tie.is_up:
            self._untold[request_id] = operation
            return
        self._tie.tell(operation, (request_id, operation))

    def _said_in_vain(self, told: tuple[Any, ...] | None) -> None:
        """It may have been done all the same, so it is told in a way that bears to be repeated."""
        if told is None:  # who joins says so again
            return
        request_id, *rest = told
        self._untold[request_id] = rest[0] if len(rest) == 1 else self._ended(request_id, *rest)

    def _ended(
        self, request_id: bytes, live: _Live, tokens: int, nano: int, output: int
    ) -> tuple[Any, ...]:
        if not live.held:
            return _SETTLE, id_of(request_id), tokens, str(nano), output
        said = (Op.ANNOUNCE, self._owner, id_of(request_id), tokens, str(nano), True)
        return (*said, live.held, [])

    async def _load_unknown(self, budget_ids: list[str]) -> None:
        try:
            await self.load(await self._load([int(one) for one in budget_ids]))
        except LinkLost:
            raise
        except Exception as error:  # whatever keeps the control plane from telling
            raise LimitsUnavailable(headers=RETRY) from error

    async def _go_on_alone(self, request_id: bytes, plan: Plan, demand: Demand) -> Headroom:
        """What is not granted waits for the end of a stall rather than being refused."""
        try:
            return await self._reserve_alone(request_id, plan, demand)
        except LimitsUnavailable:
            if not await self._tie.outlasts_stall():
                raise
        return await self.reserve(request_id, plan.scopes, demand)

    async def _reserve_alone(self, request_id: bytes, plan: Plan, demand: Demand) -> Headroom:
        headroom = await self._standby.reserve(request_id, plan, demand)
        held = list(headroom.budgets)
        self._live[request_id] = live = _Live(
            plan, demand.tokens, demand.nano_usd, held, headroom, is_alone=True
        )
        plan.hold(demand.nano_usd)
        self._untold[request_id] = self._open(request_id, live)
        return headroom

    def _open(self, request_id: bytes, live: _Live) -> tuple[Any, ...]:
        leases = [quota.id for _, quota in live.plan.quotas if quota.unit == "concurrency"]
        nano = str(live.nano_usd)
        said = (Op.ANNOUNCE, self._owner, id_of(request_id), live.tokens, nano, False)
        return (*said, live.held, leases)

    def _newest(self, plan: Plan) -> Plan:
        """The plan in use now for the same budgets: an extension is judged by today's amounts."""
        wanted = [budget.id for _, budget in plan.budgets]
        latest = plan
        for other in self._plans.used_since(plan.used_at):
            if [budget.id for _, budget in other.budgets] == wanted:
                latest = other if other.used_at >= latest.used_at else latest
        return latest

    def _refusal(self, answer: list[Any], plan: Plan, demand: Demand) -> ChatVaultError:
        code = answer[0]
        if code in (_AWAITING, UNKNOWN):
            return LimitsUnavailable(headers=RETRY)
        if code == _LIMITED:
            kind, quota = plan.quotas[answer[7] - 1]
            wait_ns = NEVER_NS if answer[8] == _LUA_NEVER else answer[8] * US
            ceiling, room = plan.ceilings[answer[7] - 1], plan.headroom(answer)
            return refusals.limited(kind, quota, ceiling, wait_ns, room, demand)
        (kind, budget), most = plan.budgets[answer[1] - 1], plan.most[answer[1] - 1]
        if code == _EXHAUSTED:
            return refusals.exhausted(kind, budget, most, int(answer[2]), demand.nano_usd)
        return refusals.held(kind, budget, most, int(answer[2]), int(answer[3]))

    async def _resync(self, is_new_epoch: bool) -> None:
        """Tell what happened while Redis was away; in a new epoch also what is held at all. What
        happens meanwhile is left to `_joined`: under load there is always something."""
        if is_new_epoch:
            self._standby.grants.clear()
            for request_id, live in self._live.items():
                self._untold.setdefault(request_id, self._open(request_id, live))
        while len(self._untold) > BATCH:
            await self._tell_untold()
        await self._tie.ask(_RENEW, "")  # it answers, and its clock and epoch are known

    def _joined(self) -> None:
        """Say the rest before anything is asked: questions of one connection keep their order.

        Grants stay as they are until the next turn, which comes at once: until then what was spent
        of them is held twice, never not.
        """
        untold, self._untold = self._untold, {}
        for request_id, operation in untold.items():
            self._tie.tell(operation, (request_id, operation))
        self._tie.tell((Op.JOINED, f"owner:{self._owner}", []), None)
        for live in self._live.values():
            live.is_alone = False  # Redis knows of it as of all others
        self._granted_at = 0.0

    async def _tell_untold(self) -> None:
        told = list(self._untold.items())[:BATCH]
        await asyncio.gather(*(self._tie.ask(*operation) for _, operation in told))
        for request_id, operation in told:
            if self._untold.get(request_id) is operation:
                del self._untold[request_id]

    async def _drop_grants(self) -> None:
        budgets, self._standby.grants = list(self._standby.grants), {}
        for budget_id in budgets:
            await self._tie.ask(Op.GRANT, budget_id, 0, "0", "0", "0")

    async def _turn(self) -> None:
        """Also an idle process has to notice that another epoch rules."""
        if clock.monotonic() - self._granted_at >= LOOKS_EVERY_S:
            self._granted_at = clock.monotonic()
            await self._refresh_grants()
        await self._tie.ask(_RENEW, "")

    async def _refresh_grants(self) -> None:
        """As much of each budget in use as this process may need in an outage."""
        used = self._plans.used_since(clock.monotonic() - _RECENT_S)
        wanted = self._wants.look(used) if self._standby_s > 0 else {}
        grants = self._standby.grants
        for budget_id in [i for i in grants if i not in wanted]:
            del grants[budget_id]  # first: when no answer comes, nothing may be relied on
            await self._tie.ask(Op.GRANT, budget_id, 0, "0", "0", "0")
        divisor = _SAFETY * max(self._processes, self._standby.share)
        for budget_id, want in wanted.items():
            grants.pop(budget_id, None)
            asked = (budget_id, want.start_s, str(want.most_nano), str(want.nano_usd))
            granted, owners = await self._tie.ask(
                Op.GRANT, *asked, str(want.nano_usd * divisor), want.earlier
            )
            grants[budget_id] = int(granted)
            self._standby.share = max(owners, self._processes)
