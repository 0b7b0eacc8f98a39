"""docs/benchmarks.md, written by the run itself so that the page never says more than was seen."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import report
from benchmarks.goals import Medians, judge
from benchmarks.parts import WARM_UP_BURSTS, Scale

PAGE = """# Benchmarks

Written by `make bench` on {day}; do not edit. Every figure is from that one run.

## Result

{goals}

{misses}

{ratios}

Above 1× ChatVault's figure is the larger one: good for requests/s and streams, bad for the rest.

## Figures

Medians over the rounds ({rounds}). `no gateway` is the load generator talking to the mock
directly: it proves that neither is the limit ({headroom}).

{figures}

## What was compared

| | version | what is on |
| --- | --- | --- |
{versions}

## Machine

{machine}. The gateway, with every process that belongs to it, is pinned to one core; the load
generator and the mock provider {placement}. {noise}

## Definitions

- **requests/s, p50, p99**: `POST /v1/chat/completions`, a body of one short message, not streamed,
  keep-alive connections, each sending its next request when the answer to the last is whole.
  Measured for {seconds:.0f} s a round, once the start's own work is over (the processes use less
  than 5 % of the core) and the gateway gets no faster (a warm-up of 5 to {bursts} s).
- **CPU per request, per chunk**: processor time of the gateway's whole process tree during the
  run, over the requests answered or the events delivered. *With the work that follows* goes on
  until the gateway is idle again: what ChatVault's ingest process moves into the database after
  the answers. Chunks are counted, 20 ms apart, with these streams open: {cpu_streams}.
- **first-chunk delay added**: p50 of the time from the request to the first event, one stream at a
  time, less the same without a gateway. The mock sends its first event with the response head.
- **streams without a stall**: the most streams at once, {tokens} chunks each, one every 20 ms,
  opened within 2 s, of which every one ends whole with `[DONE]`, and at least 99 % never wait 1 s
  between two chunks nor end 1 s late. Levels are tried upwards until one fails twice.
- **memory**: after the load; *the gateway process* is the one that worked most, its resident set;
  *all its processes* counts pages that they share once.
- **start to ready**: from the start of the command until the health path answers 200 (TensorZero:
  until it answers at all). ChatVault: with existing state{first_start}.

An answer that is not status 200 with the mock's text, and a stream that lost an event or its end,
is an error and counts as no answer.

## Reproduce

```
make bench                                             # everything, about {minutes} minutes
.venv/bin/python -m benchmarks --quick                 # one short round, this page stays as it is
.venv/bin/python -m benchmarks --only chatvault,tensorzero --part throughput
.venv/bin/python -m benchmarks --profile               # where ChatVault's gateway spends its time
```

Needs two cores, a C compiler, and node with npm for Portkey. The other gateways are installed into
`benchmarks/.env/` from pinned files: `benchmarks/requirements/` and `benchmarks/portkey/`.
The raw rounds are left in `benchmarks/.env/rounds.json`.
{notes}"""

WHAT_IS_ON = {
    "chatvault": "everything `make run` starts: key authentication, request, token and "
    "concurrency quotas, a budget with reservation and settlement, prices, journal, ingest, "
    "metrics, admin, worker and beat",
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
        ratios=report.markdown(report.ratio_cells(medians, titles)),
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
