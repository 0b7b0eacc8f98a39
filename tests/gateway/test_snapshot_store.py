"""The last good snapshot comes back whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.billing.limits import BudgetLimit, QuotaLimit, ScopeLimits
from apps.billing.pricing import Price, Terms
from apps.gateway.snapshot.model import Alias, Client, Deployment, Snapshot, Target
from apps.gateway.snapshot.store import load, save

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
