"""One fault of the suite on real servers, in short; `make chaos` has the others, at length."""

import random
from pathlib import Path

import pytest

from tests.chaos.scenarios.kills import kill_gateways
from tests.chaos.site import Site, Spec
from tests.chaos.trial import Trial
from tests.proofs.figures import Figures

pytestmark = [pytest.mark.run, pytest.mark.long, pytest.mark.xdist_group("run")]


def test_killed_gateways_lose_nothing_on_real_servers(tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("test_", "pytest-", "popen-")):
            folder.chmod(0o755)  # PostgreSQL may run as another user
    figures = Figures("kills_in_short")
    site = Site(tmp_path / "site", Spec(processes=2, redis="valkey"))
    try:
        site.start()
        with Trial(site, figures, clients=30) as trial:
            kill_gateways(trial, 2, random.Random(1), life_s=0.5)
    finally:
        site.stop()
    figures.show().check()
    assert figures.values["acked"] > 50
