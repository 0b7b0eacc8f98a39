"""Processes pinned to a core, and what the kernel says they used."""

import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cores() -> tuple[int, int, int]:
    """The cores for the gateway, the mock and the load; the last two are one on two cores."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise SystemExit("bench: needs two cores, one for the gateway and one for the load")
    return usable[0], usable[1], usable[2] if len(usable) > 2 else usable[1]


def allow_many_sockets() -> None:
    """Raise the soft limit of open files to the hard one; children inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def bound_to(core: int) -> Iterator[None]:
    """This process, and so what it starts meanwhile, runs on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def spawn(
    command: Sequence[str | Path],
    *,
    core: int,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, it and all its children bound to one core."""
    with bound_to(core):
        return subprocess.Popen(
            [str(part) for part in command],
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )


def _stat(pid: int) -> list[str]:
    # The name in brackets may hold spaces; the fields after it are: state, ppid, …
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """The process and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, []))
    return found


def cpu_s(pid: int) -> float:
    """Processor time of a process and of its children that ended, in seconds; 0 once it is gone."""
    try:
        fields = _stat(pid)
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS_PER_S


def tree_cpu_s(root: int) -> float:
    return sum(cpu_s(pid) for pid in tree(root))


def trees(roots: Iterable[int]) -> list[int]:
    return [pid for root in roots for pid in tree(root)]


def trees_cpu_s(roots: Iterable[int]) -> float:
    return sum(map(tree_cpu_s, roots))


def bind(pid: int, core: int) -> None:
    """A process that runs already, with all its threads, runs on one core from now on."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            os.sched_setaffinity(int(thread.name), {core})


def give_way(pid: int) -> None:
    """A process that runs already, with all its threads, works when nothing else does; so will its
    children."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))


def go_first(pid: int) -> None:
    """Before others, where this user may say so."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, -10)


def rss_mb(pid: int) -> float:
    """Resident memory in MB (10^6 bytes); 0 once the process is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * PAGE_BYTES / 1e6


def pss_mb(pid: int) -> float:
    """Resident memory with shared pages divided among those that share them, in MB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def stop(process: subprocess.Popen[bytes], *, patience_s: float = 15.0) -> None:
    """SIGTERM, and SIGKILL to whatever of its tree is left after `patience_s`."""
    family = tree(process.pid)
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
    for pid in family:
        with suppress(OSError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    process.wait(patience_s)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int, path: str, status: bytes) -> bool:
    """True when a GET of `path` gets a status that begins with `status`."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2.0) as peer:
        peer.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode())
        return peer.recv(64).startswith(b"HTTP/1.1 " + status)
    return False


def wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when the port takes connections. Raises RuntimeError."""
    deadline = time.monotonic() + 10.0
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2.0):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def wait_until_ready(
    process: subprocess.Popen[bytes],
    port: int,
    path: str,
    *,
    status: bytes = b"200",
    patience_s: float = 90.0,
) -> None:
    """Return when `path` answers so; raises RuntimeError when the process ends or time is up."""
    deadline = time.monotonic() + patience_s
    while not answers(port, path, status):
        if process.poll() is not None:
            raise RuntimeError(f"ended with status {process.returncode} before it was ready")
        if time.monotonic() > deadline:
            raise RuntimeError(f"not ready within {patience_s:.0f} s")
        time.sleep(0.02)


def busy_s(core: int) -> float:
    """Time that a core has worked since boot, in seconds."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[:7])
            return (user + nice + system + irq + softirq) / TICKS_PER_S
    return 0.0
