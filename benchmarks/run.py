"""One run: rounds over all gateways, so that what disturbs the machine disturbs them alike."""

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from benchmarks import credentials, document, native, parts, processes, production, report
from benchmarks.figures import median
from benchmarks.gateways import GATEWAYS, ChatVault, ChatVaultProduction, Gateway
from benchmarks.gateways.contract import ENV, HOME, Running
from benchmarks.gateways.production import FourGateways
from benchmarks.goals import Medians
from benchmarks.parts import FULL, QUICK, Scale, Target
from benchmarks.production import Place

PARTS = ("throughput", "stream", "paced", "start", "credentials", "outage", "processes")
ANYBODYS = frozenset(PARTS[:4])
DIRECT_LEVELS = (500, 1000, 1500, 2000, 2500, 3000)
ENOUGH_FASTER = 3.0


@dataclass(frozen=True, slots=True)
class Plan:
    names: Sequence[str]
    parts: Sequence[str]
    quick: bool
    rounds: int | None

    @property
    def scale(self) -> Scale:
        scale = QUICK if self.quick else FULL
        return replace(scale, rounds=self.rounds) if self.rounds else scale

    @property
    def is_complete(self) -> bool:
        everything = set(self.names) == set(GATEWAYS) and set(self.parts) == set(PARTS)
        return everything and not self.quick


class Run:
    """The state of one run: figures per gateway and round, and what went wrong."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.gateway_core, self.mock_core, self.load_core = processes.cores()
        self.mock_program, self.load_program = native.build(ENV / "native")
        self.rounds: dict[str, dict[str, list[float]]] = {}
        self.notes: list[str] = []
        self.began = time.monotonic()
        self.four_gateways: FourGateways

    def say(self, text: str) -> None:
        print(f"bench {time.monotonic() - self.began:5.0f} s  {text}", flush=True)

    def keep(self, name: str, figures: parts.Figures) -> None:
        kept = self.rounds.setdefault(name, {})
        for figure, value in figures.items():
            kept.setdefault(figure, []).append(value)
        if figures:
            shown = (f"{figure} {value:,.4g}" for figure, value in figures.items())
            self.say(f"{name}: {', '.join(shown)}")

    def medians(self) -> dict[str, dict[str, float]]:
        whole: dict[str, dict[str, float]] = {}
        for name, figures in self.rounds.items():
            found = {figure: median(values) for figure, values in figures.items()}
            whole[name] = {figure: value for figure, value in found.items() if value is not None}
        return report.with_added_delay(whole)

    def measure_direct(self, mock_port: int) -> None:
        """What the load generator and the mock do with no gateway between them."""
        target = Target.mock(mock_port, self.load_program, self.load_core, self.gateway_core)
        scale = self.plan.scale
        if "throughput" in self.plan.parts:
            self.keep("direct", parts.throughput(target, scale))
        if "stream" in self.plan.parts:
            self.keep("direct", parts.stream(target, scale, streams=0))
        if "paced" in self.plan.parts and "streams" not in self.rounds.get("direct", {}):
            proof = replace(scale, levels=DIRECT_LEVELS, tries=1)
            self.keep("direct", parts.paced(target, proof, DIRECT_LEVELS[-1], self.say, None))
        self.notes += target.notes

    def measure(self, gateway: Gateway) -> None:
        """One round of one gateway, from its start to its end."""
        with Session(self, gateway) as session:
            if set(self.plan.parts) != {"start"}:
                self._measure_parts(session)
            if "credentials" in self.plan.parts and type(gateway) is ChatVault:
                self._measure_credentials(gateway, session)
        if isinstance(gateway, ChatVaultProduction):
            self._measure_production(gateway)

    def _measure_production(self, gateway: ChatVaultProduction) -> None:
        """What only it has."""
        chosen, name = self.plan.parts, gateway.name
        log = ENV / f"{name}.log"
        place = Place(self.load_program, self.load_core, self.gateway_core, log)
        if "outage" in chosen:
            with production.running(gateway, place) as target:
                self.keep(name, production.outage(target, gateway, self.say))
                self.notes += target.notes
        if "processes" in chosen and "one_full_whole_cpu_us" not in self.rounds.get(name, {}):
            known = self.rounds.get(name, {}).get("rps_32", [production.LIKELY_RPS])
            figures = production.many_processes(gateway, self.four_gateways, place,
                                                self.plan.scale, known[-1])  # fmt: skip
            self.keep(name, figures)

    def _measure_credentials(self, gateway: ChatVault, session: "Session") -> None:
        target = session.ready()
        token = credentials.obtain(target.port, gateway.home)
        self.keep(gateway.name, credentials.compare(target, self.plan.scale, token))
        self.notes += target.notes

    def _measure_parts(self, session: "Session") -> None:
        chosen, scale, name = self.plan.parts, self.plan.scale, session.gateway.name
        if not ANYBODYS.intersection(chosen):
            return
        target = session.ready()
        at_start = {pid: processes.cpu_s(pid) for pid in processes.trees(target.roots)}
        if "throughput" in chosen:
            self.keep(name, parts.throughput(target, scale))
        if "stream" in chosen:
            self.keep(name, parts.stream(target, scale, session.gateway.cpu_streams))
        self.keep(name, parts.memory(target, at_start))
        if "paced" in chosen:
            known = self.rounds[name].get("streams")
            begin = int(known[-1]) if known else session.gateway.likely_streams
            self.keep(name, parts.paced(target, scale, begin, self.say, session.renew))
        self.notes += target.notes


class Session:
    """One gateway while it runs. A stall may break it for good, so it can be started anew."""

    def __init__(self, state: Run, gateway: Gateway) -> None:
        self.state = state
        self.gateway = gateway
        self.running: Running | None = None

    def __enter__(self) -> "Session":
        self.target = self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        running, self.running = self.running, None
        if running is not None:
            self.gateway.stop(running)

    def _start(self) -> Target:
        running = self.gateway.start(ENV / f"{self.gateway.name}.log")
        self.running = running
        self.state.keep(self.gateway.name, {running.ready_figure: running.ready_s})
        state = self.state
        return Target.of(
            self.gateway.name, running, state.load_program, state.load_core, state.gateway_core
        )

    def ready(self) -> Target:
        """The target once it answers and has done what a start brings with it."""
        parts.until_it_answers(self.target)
        parts.settle(self.target)
        return self.target

    def renew(self) -> Target:
        """Stop and start it."""
        self._stop()
        self.target = self._start()
        return self.ready()


@contextmanager
def alone() -> Iterator[None]:
    """Two runs at once would measure each other, and share state folders."""
    ENV.mkdir(exist_ok=True)
    with (ENV / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("bench: another run is under way; waiting for its end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(plan: Plan) -> int:
    processes.allow_many_sockets()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    state = Run(plan)
    with (
        alone(),
        ExitStack() as ending,
        native.mock_provider(state.mock_program, core=state.mock_core) as mock_port,
    ):
        gateways = [
            GATEWAYS[name](mock_port, state.gateway_core, state.mock_core) for name in plan.names
        ]
        if ChatVaultProduction.name in plan.names and "processes" in plan.parts:
            state.four_gateways = FourGateways(mock_port, state.gateway_core, state.mock_core)
            state.four_gateways.prepare()
            ending.callback(state.four_gateways.close)
        for gateway in gateways:
            gateway.prepare()
            ending.callback(gateway.close)
        load_1m = os.getloadavg()[0]
        if load_1m > 0.5:
            state.notes.append(f"the machine was not idle at the start (load {load_1m:.1f})")
        for number in range(plan.scale.rounds):
            state.say(f"round {number + 1} of {plan.scale.rounds}")
            state.measure_direct(mock_port)
            for gateway in gateways:
                try:
                    state.measure(gateway)
                except RuntimeError as error:
                    state.notes.append(f"{gateway.name}: {error}")
                    state.say(f"{gateway.name}: {error} (see {ENV / gateway.name}.log)")
    return finish(state, gateways)


def finish(state: Run, gateways: Sequence[Gateway]) -> int:
    """Print the tables, keep the raw figures, write the page; 1 when the proof failed."""
    medians = state.medians()
    titles = {gateway.name: gateway.title for gateway in gateways}
    (ENV / "rounds.json").write_text(json.dumps(state.rounds, indent=1))
    print("\n" + report.aligned(report.figure_cells(medians, {**titles, "direct": "no gateway"})))
    for mode in [name for name in report.OURS if name in titles]:
        print("\n" + report.aligned(report.ratio_cells(medians, titles, mode)))
    if cells := report.production_cells(medians):
        print("\n" + report.aligned(cells))
    print("\n" + report.aligned(report.goal_cells(medians)))
    factor = headroom(medians)
    if factor is not None:
        print(f"\nload generator and mock: {factor:.1f}× the fastest gateway's requests/s")
    notes = list(dict.fromkeys(state.notes))
    for note in notes:
        print(f"note: {note}")
    if state.plan.is_complete:
        _write_page(state, gateways, medians, factor, notes)
    if factor is not None and factor < ENOUGH_FASTER:
        print(
            f"bench: below {ENOUGH_FASTER:.0f}× the load may be the limit: do not use the figures"
        )
        return 1
    return 0


def _write_page(
    state: Run,
    gateways: Sequence[Gateway],
    medians: Medians,
    factor: float | None,
    notes: Sequence[str],
) -> None:
    path = HOME.parent / "docs/benchmarks.md"
    path.parent.mkdir(exist_ok=True)
    text = document.page(
        medians=medians,
        rounds=state.rounds,
        titles={gateway.name: gateway.title for gateway in gateways},
        versions={gateway.name: gateway.version() for gateway in gateways},
        cpu_streams={gateway.name: gateway.cpu_streams for gateway in gateways},
        scale=state.plan.scale,
        headroom=factor,
        notes=notes,
        minutes=(time.monotonic() - state.began) / 60,
        shared_load_core=state.mock_core == state.load_core,
    )
    path.write_text(text)
    print(f"written: {path.relative_to(HOME.parent)}")


def headroom(medians: Medians) -> float | None:
    """How many times faster the load generator and the mock are than the fastest gateway."""
    with suppress(KeyError, ValueError):
        fastest = max(
            figures["rps_32"] for name, figures in medians.items()
            if name != "direct" and "rps_32" in figures
        )  # fmt: skip
        return medians["direct"]["rps_32"] / fastest
    return None
