"""The chaos suite's own hooks: a clock that is wrong, and places where a process dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from chatvault.lib import clock, failpoints
from tests.architecture.source import PRODUCT, modules

DAY_S = 86_400.0


def test_a_shifted_clock_follows_its_file(tmp_path):
    shifted = clock.ShiftedClock(tmp_path)
    assert abs(shifted() - time.time_ns()) < clock.NANO
    (tmp_path / "all").write_text(str(DAY_S))
    time.sleep(0.03)
    assert abs(shifted() - time.time_ns() - DAY_S * clock.NANO) < clock.NANO
    (tmp_path / str(os.getpid())).write_text("-600")
    time.sleep(0.03)
    assert abs(shifted() - time.time_ns() + 600 * clock.NANO) < clock.NANO


def test_nothing_is_shifted_or_armed_unless_asked():
    assert clock._read_ns is time.time_ns
    assert clock.offset_ns() == 0
    assert not failpoints.ARMED


def test_a_process_dies_at_the_nth_time():
    told = _run("reserved:3", "reserved", times=5)
    assert (told.returncode, told.stdout) == (-signal.SIGKILL, "1\n2\n")


def test_other_places_are_passed():
    assert _run("reserved", "upstream-answered", times=2).stdout == "1\n2\n"


def test_every_place_is_in_the_code_once():
    calls = "".join(m.text for m in modules(*PRODUCT) if not m.name.endswith("failpoints"))
    assert {name: calls.count(f'"{name}"') for name in failpoints.PLACES} == dict.fromkeys(
        failpoints.PLACES, 1
    )


def _run(failpoint: str, place: str, *, times: int) -> subprocess.CompletedProcess[str]:
    code = (
        "from chatvault.lib import failpoints\n"
        f"for number in range(1, {times + 1}):\n"
        f"    failpoints.reach({place!r})\n"
        "    print(number, flush=True)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "CHATVAULT_FAILPOINT": failpoint},
        capture_output=True,
        text=True,
        check=False,
    )
