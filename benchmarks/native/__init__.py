"""The mock provider and the load generator: two small C programs, so that neither is the limit."""

import json
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.figures import Sample

HERE = Path(__file__).parent
SAMPLE = struct.Struct("<6I")


@dataclass(frozen=True, slots=True)
class Load:
    """How to load: `repeat` 0 sends until `seconds` are over, else that often per connection.

    `rate` is requests/s of all connections together; 0: each sends when it has its answer.
    """

    connections: int
    seconds: float
    repeat: int = 0
    warm_ms: int = 0
    ramp_ms: int = 0
    expect_events: int = 0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of it. `window_*` leave out the warm-up; `start_us` is of the monotonic clock."""

    good: int
    errors: int
    unfinished: int
    window_good: int
    window_events: int
    window_s: float
    cpu_s: float
    start_us: int
    first_error: str
    refusals: dict[str, int]  # by status
    samples: list[Sample]
    wall_s: float


def build(folder: Path) -> tuple[Path, Path]:
    """Compile both programs with the machine's C compiler; returns the mock and the load."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SystemExit("bench: needs a C compiler (cc or gcc) for its load generator")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("mock", "load"):
        source, program = HERE / f"{name}.c", folder / name
        if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
            continue
        command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)]
        subprocess.run(command, check=True)
    return folder / "mock", folder / "load"


@contextmanager
def mock_provider(program: Path, *, core: int) -> Iterator[int]:
    """A running mock provider; gives its port."""
    process = processes.spawn([program, "0"], core=core, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        processes.stop(process)


def http_request(path: str, headers: Mapping[str, str], body: Mapping[str, object]) -> bytes:
    """The whole POST as it goes over the wire."""
    payload = json.dumps(body, separators=(",", ":")).encode()
    fields = {
        "host": "127.0.0.1",
        "content-type": "application/json",
        "content-length": str(len(payload)),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + payload


def run_load(program: Path, *, core: int, port: int, request: bytes, load: Load) -> LoadResult:
    """Send `request` to the port as `load` says, from one core."""
    with tempfile.TemporaryDirectory() as folder:
        wire, samples = Path(folder, "request"), Path(folder, "samples")
        wire.write_bytes(request)
        numbers = (load.connections, load.repeat, load.seconds, load.warm_ms, load.ramp_ms)
        command: list[str | Path] = [program, str(port), wire, *map(str, numbers)]
        command += [str(load.expect_events), str(load.rate), samples]
        began = time.monotonic()
        process = processes.spawn(command, core=core, stdout=subprocess.PIPE)
        try:
            out, _ = process.communicate(timeout=load.seconds + 30)
        finally:
            processes.stop(process)
        wall_s = time.monotonic() - began
        if process.returncode:
            raise RuntimeError(f"the load generator ended with status {process.returncode}")
        found = [Sample(*fields) for fields in SAMPLE.iter_unpack(samples.read_bytes())]
    return LoadResult(**json.loads(out), samples=found, wall_s=wall_s)
