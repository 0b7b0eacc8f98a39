"""The last good snapshot comes back whole, or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apps.billing.limits import BudgetLimit, QuotaLimit, ScopeLimits
from apps.billing.pricing import Price, Terms
from apps.gateway.snapshot.model import Alias, Client, Deployment, Snapshot, Target
from apps.gateway.snapshot.store import MAGIC, load, save
from tests.architecture.source import ROOT

SCOPE = ScopeLimits("client", 1, (QuotaLimit(1, "requests", 60, 5),), (BudgetLimit(1, 9, "day"),))
SNAPSHOT = Snapshot(
    version=7,
    built_at_s=1.5,
    deployments={3: Deployment(3, "m@p", "p", "openai", "https://p", "m", {"vendor": "x"})},
    aliases={"m": Alias(1, "m", "weighted", 1, (Target(3),))},
    prices={2: {"m": (Price(1, "m", 10, 20),)}},
    clients={1: Client(1, "c", 1, "t", True, 2, Terms(1, 5), frozenset({"m"}), (SCOPE,))},
    key_limits={4: SCOPE},
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.bin"
    save(SNAPSHOT, path)
    assert load(path) == SNAPSHOT
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["snapshot.bin"]


def test_nothing_is_loaded_from_nothing(tmp_path: Path) -> None:
    assert load(tmp_path / "snapshot.bin") is None


@pytest.mark.parametrize("at", [0, 9, 45, -1])
def test_a_changed_byte_is_noticed(tmp_path: Path, at: int) -> None:
    path = tmp_path / "snapshot.bin"
    save(SNAPSHOT, path)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    assert load(path) is None


def test_a_cut_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.bin"
    save(SNAPSHOT, path)
    path.write_bytes(path.read_bytes()[:-1])
    assert load(path) is None


def _write(path: Path, content: dict[str, Any], magic: bytes = MAGIC) -> None:
    payload = msgspec.msgpack.encode(content)
    path.write_bytes(magic + hashlib.sha256(payload).digest() + payload)


def test_what_a_newer_version_added_is_left_out(tmp_path: Path) -> None:
    content = msgspec.to_builtins(SNAPSHOT)
    content["regions"] = {"eu": 1}
    content["clients"][1]["priority"] = 7
    _write(tmp_path / "snapshot.bin", content)
    assert load(tmp_path / "snapshot.bin") == SNAPSHOT


def test_what_an_older_version_did_not_have_gets_its_default(tmp_path: Path) -> None:
    content = msgspec.to_builtins(SNAPSHOT)
    del content["key_limits"]
    _write(tmp_path / "snapshot.bin", content)
    assert load(tmp_path / "snapshot.bin") == msgspec.structs.replace(SNAPSHOT, key_limits={})


def test_another_format_is_as_if_there_were_none(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.bin"
    _write(path, msgspec.to_builtins(SNAPSHOT), magic=b"cvsnap2\n")
    assert load(path) is None
    content = msgspec.to_builtins(SNAPSHOT)
    del content["version"]
    _write(path, content)
    assert load(path) is None
    save(SNAPSHOT, path)
    assert load(path) == SNAPSHOT


def test_a_slow_process_does_not_undo_a_later_revision(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.bin"
    later = msgspec.structs.replace(SNAPSHOT, version=8, built_at_s=2.0)
    save(later, path)
    save(SNAPSHOT, path)
    assert load(path) == later
    restored = msgspec.structs.replace(SNAPSHOT, version=3, built_at_s=9.0)
    save(restored, path)  # as after a database came back from a backup
    assert load(path) == restored


def test_many_processes_may_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.bin"
    code = (
        "import sys, msgspec; from pathlib import Path\n"
        "from apps.gateway.snapshot.store import load, save\n"
        "path = Path(sys.argv[1]); first = load(path)\n"
        "for n in range(60):\n"
        "    save(msgspec.structs.replace(first, version=n, built_at_s=float(n)), path)\n"
        "    assert load(path) is not None"
    )
    save(msgspec.structs.replace(SNAPSHOT, version=0, built_at_s=0.0), path)
    writers = [subprocess.Popen([sys.executable, "-c", code, path], cwd=ROOT) for _ in range(3)]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]
    found = load(path)
    assert found is not None
    assert found.version == 59
    assert [one.name for one in tmp_path.iterdir()] == ["snapshot.bin"]
