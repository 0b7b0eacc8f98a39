"""Clocks that are wrong, telemetry that is stuck, and what a process costs after a while."""

import random
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.processes import rss_mb
from tests.chaos import world
from tests.chaos.crowd import Crowd, refusals
from tests.chaos.scenario import scenario
from tests.chaos.servers import free_port
from tests.chaos.site import Site, Spec
from tests.chaos.trial import Trial
from tests.proofs.figures import Figures
from tests.proofs.stage import wait_until

WRONG_CLOCKS = Spec(wrong_clocks=True)
COLLECTOR = free_port()
TRACED = Spec(more=(("CHATVAULT_TELEMETRY_ENDPOINT", f"http://127.0.0.1:{COLLECTOR}"),))
NARROW = Spec(
    processes=2,
    more=(("CHATVAULT_GATEWAY_MAX_RUNNING", "8"), ("CHATVAULT_GATEWAY_MAX_QUEUE", "20")),
)
_TEN_MINUTES_S = 600.0
_GROWTH = 0.15


@scenario("F29", "R5 R6", "Gateways disagree about the time by 20 minutes, clocks step back, one "
          "is in another month", spec=WRONG_CLOCKS, keeps_site=False)  # fmt: skip
def clocks(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures, poor_nano=40_000_000, period="month") as trial:
        trial.calm(2)
        with trial.fault():
            first, second, third, *_ = [pid for _, pid in site.gateways()]
            site.set_clock(_TEN_MINUTES_S, first)
            site.set_clock(-_TEN_MINUTES_S, second)
            time.sleep(3)
            site.set_clock(-_TEN_MINUTES_S, first)
            time.sleep(2)
            site.set_clock(_next_month_s(), third)
            time.sleep(3)
            for pid in (first, second, third):
                site.set_clock(0, pid)
            time.sleep(1)
        trial.calm(1)
    windows = site.query(
        "SELECT w.budget_id, COUNT(*) FROM billing_budgetwindow w "
        "JOIN billing_budget b ON b.id = w.budget_id WHERE b.period = 'month' "
        "GROUP BY w.budget_id HAVING COUNT(*) > 1"
    )
    negative = site.query(
        "SELECT COUNT(*) FROM usage_requestlog WHERE latency_ms < 0 OR first_token_ms < 0"
        " OR latency_ms > 60000"
    )[0][0]
    figures.require(double_windows=(len(windows), 0), negative_durations=(negative, 0))


def _next_month_s() -> float:
    now = datetime.now(UTC)
    year, month = divmod(now.year * 12 + now.month, 12)
    return (datetime(year, month + 1, 1, tzinfo=UTC) - now).total_seconds() + 60


class Collector:
    """Takes whatever is sent to it and says yes, until it is `stuck`."""

    def __init__(self) -> None:
        self.requests = 0
        self.is_stuck = False
        self._socket = socket.create_server(("127.0.0.1", COLLECTOR), backlog=64)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(60)
            while data := connection.recv(1 << 20):
                while self.is_stuck:
                    time.sleep(0.1)
                if b"POST /v1/" in data:
                    self.requests += 1
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


@scenario("F43", "R14", "The collector of traces accepts and never answers", spec=TRACED)
def telemetry_stuck(site: Site, figures: Figures, chance: random.Random) -> None:
    collector = Collector()
    try:
        with Trial(site, figures) as trial:
            trial.calm(6)
            heard = collector.requests
            with trial.fault():
                collector.is_stuck = True
                time.sleep(12)
                collector.is_stuck = False
            trial.calm(5)
    finally:
        collector.close()
    figures.require(was_told_before=(heard > 0, True))
    figures.at_most(p99_added_ms=(trial.added_ms(), 5.0))


@scenario("F45", "R13", "20 s of load: memory, descriptors, what is left open")
def leaks(site: Site, figures: Figures, chance: random.Random) -> None:
    pids = [pid for _, pid in site.gateways()]
    with Trial(site, figures, clients=60, pause_s=0.06) as trial:
        time.sleep(5)
        before = sum(map(rss_mb, pids))
        time.sleep(15)
        after = sum(map(rss_mb, pids))
        busy = sum(map(descriptors, pids))
        trial.calm(0.1)
    wait_until(lambda: sum(map(descriptors, pids)) <= busy)
    figures.note(rss_mb_before=round(before), rss_mb_after=round(after), descriptors_busy=busy)
    figures.at_most(rss_growth=(round(after / before - 1, 3), _GROWTH))
    figures.require(processes_replaced=(pids != [pid for _, pid in site.gateways()], False))


def descriptors(pid: int) -> int:
    with suppress(OSError):
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return 0


@scenario("F35", "R18", "Five times as many clients as can be served at once", spec=NARROW)
def overload(site: Site, figures: Figures, chance: random.Random) -> None:
    few = {"clients": 16, "pause_s": 0.0, "aliases": ("talk",), "seed": 1}
    with Trial(site, figures, poor_nano=world.RICH_NANO, **few) as trial:  # type: ignore[arg-type]
        begin = time.monotonic()
        trial.calm(6)
        peak = _goodput(trial, begin, time.monotonic())
        more = {**few, "clients": 64, "seed": 2}
        with Crowd(site, trial.names, mark="m", **more) as others:  # type: ignore[arg-type]
            time.sleep(1)
            with trial.fault():
                time.sleep(6)
            time.sleep(0.5)
        trial.crowd.log += others.log
        trial.calm(1)
    calls = trial.during()
    served = [call.took_ms for call in calls if call.answer.is_acknowledged]
    refused = [call.took_ms for call in calls if call.answer.status == 503]
    kept = len(served) / 6 / max(peak, 1)
    figures.note(goodput_peak=round(peak, 1), refused_by_policy=len(refused),
                 refused_p99_ms=round(_p99(refused)), served_p99_ms=round(_p99(served)),
                 refused=dict(refusals(calls)))  # fmt: skip
    figures.require(goodput_is_kept=(kept >= 0.9, True))
    figures.note(goodput_kept=round(kept, 2))


def _goodput(trial: Trial, begin: float, end: float) -> float:
    calls = trial.crowd.between(begin, end)
    return sum(call.answer.is_acknowledged for call in calls) / (end - begin)


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0
