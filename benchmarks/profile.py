"""Where ChatVault's gateway spends its time: py-spy's samples, counted by function."""

import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks import environments, native, processes
from benchmarks.gateways.chatvault import ChatVault
from benchmarks.gateways.contract import ENV, HOME
from benchmarks.gateways.production import ChatVaultProduction
from benchmarks.native import Load
from benchmarks.parts import PACE_US, Target, settle, until_it_answers, warm_up

SECONDS = 8
PATIENCE = {"CHATVAULT_REDIS_TIMEOUT_MS": "2000"}  # a sampled process stands still now and then
SHOWN = 45


def count(lines: Iterable[str]) -> tuple[Counter[str], Counter[str], int]:
    """Samples by function, its own and with what it calls, and the sum, of collapsed stacks."""
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for line in lines:
        stack, _, samples = line.rpartition(" ")
        if not samples.strip().isdigit():
            continue
        frames = stack.split(";")
        total += int(samples)
        own[frames[-1]] += int(samples)
        for frame in set(frames):
            whole[frame] += int(samples)
    return own, whole, total


def _sampler() -> Path:
    if found := shutil.which("py-spy"):
        return Path(found)
    return environments.python_environment(ENV / "profile", HOME / "requirements/profile.txt") / (
        "py-spy"
    )


def profile(kind: type[ChatVault], *, streaming: bool) -> int:
    """Load ChatVault and print its hottest functions; leaves the stacks in benchmarks/.env."""
    sampler = _sampler()
    processes.allow_many_sockets()
    gateway_core, mock_core, load_core = processes.cores()
    mock_program, load_program = native.build(ENV / "native")
    with native.mock_provider(mock_program, core=mock_core) as port:
        gateway = kind(port, gateway_core, mock_core)
        if isinstance(gateway, ChatVaultProduction):
            gateway.settings = PATIENCE
        gateway.prepare()
        running = gateway.start(ENV / f"{kind.name}.log")
        try:
            target = Target.of(kind.name, running, load_program, load_core, gateway_core)
            until_it_answers(target)
            settle(target)
            warm_up(target)
            stacks = _record(target, sampler, streaming=streaming)
        finally:
            gateway.stop(running)
            gateway.close()
    own, whole, total = count(stacks.read_text().splitlines())
    for title, counter in (("own time", own), ("with what it calls", whole)):
        print(f"\n{title}, {total} samples")
        for frame, samples in counter.most_common(SHOWN):
            print(f"{100 * samples / total:6.1f} %  {frame}")
    return 0


def _record(target: Target, sampler: Path, *, streaming: bool) -> Path:
    if streaming:
        tokens = (SECONDS + 4) * 1_000_000 // PACE_US
        load = Load(400, SECONDS + 6.0, 1, ramp_ms=2000, expect_events=tokens)
        prompt = f"tokens={tokens} pace_us={PACE_US}"
    else:
        load, prompt = Load(32, SECONDS + 4.0), "Say hello"
    before = {pid: processes.cpu_s(pid) for pid in processes.trees(target.roots)}
    loading = threading.Thread(target=target.send, args=(load, prompt))
    loading.start()
    time.sleep(2.0)
    worker = max(target.fronts or before, key=lambda pid: processes.cpu_s(pid) - before[pid])
    used = {pid: processes.cpu_s(pid) - before[pid] for pid in before}
    print("bench: CPU seconds by process in the first two: "
          + ", ".join(f"{pid} {cpu_s:.2f}" for pid, cpu_s in used.items()))  # fmt: skip
    stacks = ENV / ("profile-stream.txt" if streaming else "profile.txt")
    # Only what holds the interpreter's lock, or threads that wait in the C library count as busy.
    command = [str(sampler), "record", "--gil", "--native", "--function"]
    command += ["--format", "raw", "--rate", "200"]
    command += ["--duration", str(SECONDS), "--pid", str(worker), "--output", str(stacks)]
    with processes.bound_to(target.load_core):
        subprocess.run(command, check=True)
    loading.join()
    return stacks
