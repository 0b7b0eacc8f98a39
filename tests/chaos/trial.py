"""One fault under load, from the calm before it to the comparison of the books after it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from tests.chaos import world
from tests.chaos.crowd import Call, Crowd, Names, p99_ms, refusals
from tests.chaos.site import Site
from tests.proofs.books import Wrong, compare
from tests.proofs.figures import Figures
from tests.proofs.stage import wait_until
from tests.proofs.wire import Answer, Wire
from tests.proofs.world import body_of, usd

HEALED_S = 60.0
_HELD, _UNKNOWN = "budget_reserved_in_flight", "limits_unavailable"
_FREE_AGAIN_S = 10.0
"""So long may money be held that nobody spends; after that it leaked."""


class Trial:
    """Load with a calm beginning. Leaving the block ends it and compares the witnesses."""

    def __init__(
        self, site: Site, figures: Figures, *, clients: int = 40, pause_s: float = 0.1,
        poor_nano: int = 60_000_000, seed: int = 1, aliases: tuple[str, ...] = ("talk", "brief"),
        follow: bool = True, period: str = "total",
    ) -> None:  # fmt: skip
        self.site = site
        self.figures = figures
        self._follow = follow
        self._period = period
        self.names = Names.of(figures.name)
        self.budgets = {self.names.rich: world.RICH_NANO, self.names.poor: poor_nano}
        self.crowd = Crowd(
            site, self.names, clients=clients, pause_s=pause_s, seed=seed, aliases=aliases
        )
        self.wrong = Wrong([], [])
        self.revision = 0
        self._calm: list[tuple[float, float]] = []
        self._fault = (0.0, 0.0)
        self._damaged = self._damages()

    def __enter__(self) -> "Trial":
        site = self.site
        made = world.clients(site, self.budgets, free=(self.names.free,), period=self._period)
        document = {**world.models(site), "clients": made}
        self.revision = site.apply(document, is_followed=self._follow)
        site.forget_calls()
        self.crowd.__enter__()
        wait_until(lambda: len(self.crowd.log) > 50)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.crowd.__exit__(kind, error, at)
        if error is None:
            self._judge()

    def calm(self, seconds: float) -> None:
        """Load without a fault, to compare latencies with."""
        begin = time.monotonic()
        time.sleep(seconds)
        self._calm.append((begin, time.monotonic()))

    @contextmanager
    def fault(self) -> Iterator[None]:
        """The time of the fault."""
        begin = time.monotonic()
        yield
        self._fault = (begin, time.monotonic())

    def during(self, client: str | None = None) -> list[Call]:
        return self.crowd.between(*self._fault, client)

    def raise_budget(self, nano: int) -> None:
        """The one that ends gets more; gateways follow while they serve."""
        self.budgets[self.names.poor] += nano
        poor = {self.names.poor: self.budgets[self.names.poor]}
        self.site.apply(world.amounts(poor, self._period), is_followed=False)

    def answers_again(self, since: float, client: str | None = None) -> float:
        """Seconds from the moment to the first answer to a request that began after it."""
        wait_until(lambda: self.crowd.answered_since(since, client) is not None)
        return (self.crowd.answered_since(since, client) or 0.0) - since

    def added_ms(self, skip_s: float = 0.0, take_s: float = 1e9) -> float:
        """How much worse the p99 was in (a part of) the fault than in the worst calm."""
        begin, end = self._fault
        calls = self.crowd.between(begin + skip_s, min(end, begin + skip_s + take_s))
        calm = max((p99_ms(self.crowd.between(*span)) for span in self._calm), default=0.0)
        self.figures.note(p99_calm_ms=round(calm, 1))
        return round(max(0.0, p99_ms(calls) - calm), 1)

    def _judge(self) -> None:
        site, figures, names = self.site, self.figures, self.names
        calls = self.crowd.log
        figures.at_most(healed_s=(round(wait_until(site.is_healed, 90), 2), HEALED_S))
        self.wrong = compare(site, calls, figures, among=names.all())
        figures.require(hung=(sum(call.is_hung for call in calls), 0))
        if self._fault[1]:
            figures.note(p99_added_ms=self.added_ms())
        self._counters()
        self._money()
        figures.require(
            damaged_records=(self._damages() - self._damaged, 0),
            verify_ledger=(site.verdict(), "clean"),
        )

    def _counters(self) -> None:
        """Redis says what the ledger says, once it had time to hear of it."""
        began = time.monotonic()
        first = wrong = self.site.counters_wrong()
        while wrong and time.monotonic() - began < HEALED_S:
            time.sleep(0.3)
            wrong = self.site.counters_wrong()
        self.figures.note(counters_differed=first or "no", counters_differ=wrong or "no")
        self.figures.at_most(counters_right_s=(round(time.monotonic() - began, 1), HEALED_S - 1))

    def _money(self) -> None:
        """Nothing is spent beyond a budget, nothing stays held, nobody is refused without need."""
        site, figures, calls = self.site, self.figures, self.crowd.log
        spent = world.charged(site, self.budgets)
        over = sum(max(0, spent[name] - amount) for name, amount in self.budgets.items())
        rich = [call for call in calls if call.client == self.names.rich]
        phantom = sum(call.answer.status in (402, 429) for call in rich)
        figures.require(overspend=(over, 0), phantom=(phantom, 0))
        left = {name: nano + world.CENT_NANO for name, nano in spent.items()}
        site.apply(world.amounts(left, self._period))
        leaked, overdrawn = 0, 0
        began = time.monotonic()
        for name in self.budgets:
            first = asyncio.run(_as_soon_as_it_fits(site, name))
            leaked += first.status != 200
            second = asyncio.run(_as_soon_as_it_fits(site, name, "second", (_UNKNOWN,)))
            overdrawn += second.status == 200
            if first.status != 200:
                figures.note(**{f"refusal_of_{name}": first.body.decode()})
        figures.note(free_again_s=round(time.monotonic() - began, 2))
        figures.require(leaked=(leaked, 0), overdrawn=(overdrawn, 0))
        figures.note(
            spent_usd=usd(sum(spent.values())),
            refused_rich=dict(refusals(rich)),
            refused_poor=dict(refusals(c for c in calls if c.client == self.names.poor)),
            refused_free=dict(refusals(c for c in calls if c.client == self.names.free)),
        )
        wait_until(site.is_healed)

    def _damages(self) -> int:
        found = [node.journal.glob("quarantine/*") for node in self.site.nodes]
        return sum(len(list(each)) for each in found)


async def _as_soon_as_it_fits(
    site: Site, client: str, nonce: str = "first", again: tuple[str, ...] = (_UNKNOWN, _HELD)
) -> Answer:
    """A client that is told that money is held tries again, as it is told to."""
    ends = time.monotonic() + _FREE_AGAIN_S
    while True:
        answer = await one(site, client, nonce)
        if answer.error_code not in again or time.monotonic() > ends:
            return answer
        await asyncio.sleep(0.2)


async def one(site: Site, client: str, nonce: str, alias: str = "cent") -> Answer:
    """One request on a connection of its own."""
    wire = Wire(site.url)
    body = body_of(alias, nonce, stream=False, most=1)
    answer = await wire.post("/v1/chat/completions", site.key_of(client), body)
    wire.close()
    return answer
