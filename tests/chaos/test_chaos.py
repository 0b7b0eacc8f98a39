"""The suite itself, without breaking anything; `make chaos` runs it."""

from pathlib import Path

import pytest

from tests.chaos import report, world
from tests.chaos.native import Disk
from tests.chaos.record import load
from tests.chaos.scenario import NINE, SCENARIOS
from tests.chaos.scenarios import __all__ as topics
from tests.chaos.soak import Samples
from tests.proofs.figures import Figures


def test_every_scenario_says_what_it_is_for():
    assert topics
    for name, one in SCENARIOS.items():
        assert one.title and one.faults.startswith("F") and one.promises.startswith("R"), name
    assert sum(not one.is_long for one in SCENARIOS.values()) >= 30


def test_the_page_says_what_was_measured():
    text = report.PAGE.read_text(encoding="utf-8")
    assert text == report.page(text, load(report.FIGURES))


def test_a_figure_that_only_informs_is_never_broken():
    figures = Figures("one", dict.fromkeys(NINE))
    figures.require(lost=(3, 0))
    assert set(figures.broken) == {"lost"}
    figures.excuse("lost")
    assert figures.broken == {}


def test_the_models_of_scenarios_have_prices():
    priced = {price["model"] for price in world.PRICES}
    assert priced == {model for models in world.TARGETS.values() for model in models}


def test_growth_is_percent_an_hour_after_the_beginning():
    samples = Samples()
    for minute in range(60):
        samples.add(minute * 60, {"rss": 100.0 if minute >= 15 else 50.0 + minute})
    assert samples.growth("rss") == pytest.approx(0, abs=0.5)
    samples = Samples()
    for minute in range(60):
        samples.add(minute * 60, {"rss": 100.0 + minute / 60})
    assert samples.growth("rss") == pytest.approx(1, abs=0.05)


def test_a_power_cut_leaves_what_was_forced_to_disk(tmp_path: Path):
    journal = tmp_path / "journal"
    journal.mkdir()
    disk = Disk(tmp_path)
    kept, unnamed = journal / "a.cvj", journal / "b.cvj"
    kept.write_bytes(b"x" * 100)
    unnamed.write_bytes(b"x" * 100)
    (tmp_path / "disk/synced").write_text(f"S {kept} 40\nN {kept}\nS {unnamed} 100\nS {kept} 70\n")
    assert disk.cut_power(journal) == (130, 1)
    assert (kept.stat().st_size, unnamed.exists()) == (70, False)
