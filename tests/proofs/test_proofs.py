"""The proofs in short; `make proofs` runs them at length."""

from collections.abc import Iterator

import pytest

from tests.proofs import killing, seven
from tests.proofs.stage import Stage

pytestmark = [pytest.mark.run, pytest.mark.xdist_group("run")]


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
