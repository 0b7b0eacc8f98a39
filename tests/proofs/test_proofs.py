"""The proofs in short; `make proofs` runs them at length."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proofs import killing, replay, seven
from tests.proofs.stage import Stage

pytestmark = [pytest.mark.run, pytest.mark.long, pytest.mark.xdist_group("run")]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("proofs")) as started:
        yield started


def test_exactly_seven_of_five_hundred_pass(stage: Stage) -> None:
    seven.prove(stage, rounds=1).check()


def test_killed_gateways_lose_nothing(stage: Stage) -> None:
    figures = killing.prove("kill_gateway", stage, killing.gateway, kills=2, life_s=(0.3, 0.8))
    figures.check()
    assert figures.values["acked"] > 100
    assert figures.values["outcomes"]["interrupted"] > 0


@pytest.mark.skipif(not replay.TRACE.exists(), reason="the trace is not part of the project")
def test_the_ledger_of_a_real_trace_is_what_the_provider_told(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        figures = replay.prove(stage, replay.arrivals(600), speed=1000)
    figures.check()
    assert figures.values["refused"]["budget_exhausted"] > 0
