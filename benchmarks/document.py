"""docs/benchmarks.md, written by the run itself so that the page never says more than was seen."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import report
from benchmarks.goals import Medians, judge
from benchmarks.parts import WARM_UP_BURSTS, Scale
from benchmarks.production import OUTAGE_RATE, OUTAGE_S, SHARE_OF_SATURATION

PAGE = """# Benchmarks

Written by `make bench` on {day}; do not edit. Every figure is from that one run.

## Result

{goals}

{misses}

{ratios}

Above 1× ChatVault's figure is the larger one: good for requests/s and streams, bad for the rest.
*ChatVault* is the embedded mode, *ChatVault production* is the one with real servers; see
[What was compared](#what-was-compared) and [Machine](#machine) for what shares a core with what.

## Figures

Medians over the rounds ({rounds}). `no gateway` is the load generator talking to the mock
directly: it proves that neither is the limit ({headroom}).

{figures}

## Production
{production}
## What was compared

| | version | what is on |
| --- | --- | --- |
{versions}

## Machine

{machine}. Each gateway, with every process that belongs to it, is pinned to one core; the load
generator and the mock provider {placement}. {noise}

*ChatVault production* has on the gateway core its gateway processes and nothing else, as a node of
its own would. Ingest, the supervisors, the admin's process, worker, beat, Redis and PostgreSQL run
on the core of the mock, where all of them but Redis only work when nobody else wants the core:
rows come later while the load lasts, and requests do not wait for them. Redis goes first
there, as one with a core of its own does. The processor time of all of them is in the figures *of
all its processes*.

## Definitions

- **requests/s, p50, p99**: `POST /v1/chat/completions`, a body of one short message, not streamed,
  keep-alive connections, each sending its next request when the answer to the last is whole.
  Measured for {seconds:.0f} s a round, once the start's own work is over (the processes use less
  than 5 % of the core) and the gateway gets no faster (a warm-up of 5 to {bursts} s).
- **CPU per request, per chunk**: processor time over the requests answered or the events
  delivered. *On the gateway core*: what is pinned to it. *Of all its processes*: whole process
  trees, and with ChatVault production Redis and PostgreSQL, too. *With the work that follows* goes
  on until the gateway is idle again: what ChatVault's ingest process moves into the database after
  the answers. Chunks are counted on the gateway core, 20 ms apart, with these streams open:
  {cpu_streams}.
- **first-chunk delay added**: p50 of the time from the request to the first event, one stream at a
  time, less the same without a gateway. The mock sends its first event with the response head.
- **streams without a stall**: the most streams at once, {tokens} chunks each, one every 20 ms,
  opened within 2 s, of which every one ends whole with `[DONE]`, and at least 99 % never wait 1 s
  between two chunks nor end 1 s late. Levels are tried upwards until one fails twice.
- **memory**: after the load; *the gateway process* is the one that worked most, its resident set;
  *all its processes* counts pages that they share once.
- **one and four gateway processes**: two installations that run at once on the same cores and take
  turns, all gateway processes on the gateway core. *At 32 connections*: as fast as they can. *At
  the same rate*: {share:.0%} of what one process reached at 32 connections, so that each of four
  has little to do at once and wakes for single events in caches that the others have just used.
  The CPU of all their processes counts until the database has every row.
- **Redis stopped**: {outage_rate:.0f} requests/s for {outage:.0f} s, then as long while Redis is
  stopped with SIGSTOP (connections stay open and nobody answers), then as long after SIGCONT. The
  client has a budget. A request belongs to the moment at which it was due.
- **start to ready**: from the start of the command until the health path answers 200 (TensorZero:
  until it answers at all). ChatVault: with existing state{first_start}.

An answer that is not status 200 with the mock's text, and a stream that lost an event or its end,
is an error and counts as no answer.

## Reproduce

```
make bench                                             # everything, about {minutes} minutes
.venv/bin/python -m benchmarks --quick                 # one short round, this page stays as it is
.venv/bin/python -m benchmarks --only chatvault,tensorzero --part throughput
.venv/bin/python -m benchmarks --only chatvault-production --part outage --part processes
.venv/bin/python -m benchmarks --profile               # where ChatVault's gateway spends its time
```

Needs two cores, a C compiler, and node with npm for Portkey. The other gateways are installed into
`benchmarks/.env/` from pinned files: `benchmarks/requirements/` and `benchmarks/portkey/`.
The raw rounds are left in `benchmarks/.env/rounds.json`.

Reports, the request log, exports and ingest beside reads: [benchmarks of
reports](benchmarks-reports.md).
{notes}"""

WHAT_IS_ON = {
    "chatvault": "everything `make run` starts: key authentication, request, token and "
    "concurrency quotas, a budget with reservation and settlement, prices, journal, ingest, "
    "metrics, admin, worker and beat",
    "chatvault-production": "the same with PostgreSQL (fsync on), Redis (no persistence), and "
    "roles in processes of their own: one gateway process, ingest, admin, worker and beat",
    "tensorzero": "the HTTP gateway in its PyPI package; no authentication, no limits, "
    "observability off",
    "portkey": "the npm package, headless; no authentication, no limits, no log page. "
    "`@hono/node-server` is pinned to 1.14.0, because its streams fail with the newest one",
    "litellm": "one worker; no master key, no database, no limits, `LITELLM_LOG=ERROR`",
}


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _machine() -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_cpu_model()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def misses(medians: Medians) -> str:
    """A line for every goal that was not met."""
    lines = []
    for verdict in judge(medians):
        if verdict.met:
            continue
        said = f"wanted {report.wanted(verdict)}, measured {report.measured(verdict)}"
        if verdict.met is None:
            said = "not measured"
        lines.append(f"- **Missed**: {verdict.goal.text}: {said}.")
    return "\n".join(lines) or "Every goal is met."


def _production(medians: Medians) -> str:
    cells = report.production_cells(medians)
    return f"\n{report.markdown(cells)}\n" if cells else "\nNot measured.\n"


def _ratios(medians: Medians, titles: Mapping[str, str]) -> str:
    tables = [report.ratio_cells(medians, titles, mode) for mode in report.OURS if mode in titles]
    return "\n\n".join(map(report.markdown, tables))


def _noise(rounds: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    shares = [
        share
        for figures in rounds.values()
        for name, values in figures.items()
        if name.startswith("others_share")
        for share in values
    ]
    worst = max(shares, default=0.0)
    return f"Other programs took at most {worst:.0%} of the gateway's core in any round."


def page(
    *,
    medians: Medians,
    rounds: Mapping[str, Mapping[str, Sequence[float]]],
    titles: Mapping[str, str],
    versions: Mapping[str, str],
    cpu_streams: Mapping[str, int],
    scale: Scale,
    headroom: float | None,
    notes: Sequence[str],
    minutes: float,
    shared_load_core: bool,
) -> str:
    """The whole page. `versions` and `cpu_streams` are by gateway name."""
    first = medians.get("chatvault", {}).get("first_ready_s")
    streams = ", ".join(f"{titles[name]} {count}" for name, count in cpu_streams.items())
    return PAGE.format(
        day=datetime.now(UTC).date().isoformat(),
        goals=report.markdown(report.goal_cells(medians)),
        misses=misses(medians),
        ratios=_ratios(medians, titles),
        production=_production(medians),
        share=SHARE_OF_SATURATION,
        outage_rate=OUTAGE_RATE,
        outage=OUTAGE_S,
        rounds=scale.rounds,
        headroom=f"{headroom:.1f}× the fastest gateway" if headroom else "not measured",
        figures=report.markdown(report.figure_cells(medians, {**titles, "direct": "no gateway"})),
        versions="\n".join(
            f"| {titles[name]} | {version} | {WHAT_IS_ON[name]} |"
            for name, version in versions.items()
        ),
        machine=_machine(),
        placement="share the other" if shared_load_core else "have a core each",
        noise=_noise(rounds),
        seconds=scale.seconds,
        bursts=WARM_UP_BURSTS,
        cpu_streams=streams,
        tokens=scale.paced_tokens,
        first_start=f"; with an empty `CHATVAULT_HOME` {first:.1f} s" if first else "",
        minutes=max(1, round(minutes)),
        notes="\n## Notes of the run\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"
        if notes
        else "",
    )
