"""Figures of many processes are one: added, never counted twice, never going back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatvault.lib.metrics import reporter as module
from chatvault.lib.metrics.families import Family, Figures
from chatvault.lib.metrics.reporter import Reporter
from chatvault.lib.metrics.shared import MAX_ROWS, SharedFolder, sheet_of
from tests.metrics.folk import DONE, figures, fork, kill, report, samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "metrics"


@pytest.fixture
def reporter(folder: Path) -> Iterator[Reporter]:
    made = Reporter(folder, "asked")
    made.add(figures(1, running=1, oldest=7))
    made.start()
    yield made
    made.stop()


def test_whoever_is_asked_tells_of_all(folder: Path, reporter: Reporter) -> None:
    pids = [report(folder, figures(10, running=2, oldest=5)) for _ in range(2)]
    told = samples(reporter.exposition())
    for pid in pids:
        kill(pid)
    assert told['done_total{kind="a"}'] == 21
    assert told["running"] == 5
    assert told["oldest"] == 5
    assert told["took_seconds_count"] == told['took_seconds_bucket{le="0.1"}'] == 21
    assert told["took_seconds_sum"] == pytest.approx(1.05)


def test_counters_of_the_killed_are_kept_and_their_gauges_dropped(
    folder: Path, reporter: Reporter
) -> None:
    kill(report(folder, figures(10, running=2, oldest=5)))
    for _ in range(3):  # the first moves them to the retired; nothing is counted twice
        told = samples(reporter.exposition())
        assert told['done_total{kind="a"}'] == 11
        assert told["took_seconds_count"] == 11
        assert (told["running"], told["oldest"]) == (1, 7)
    assert [path.name for path in folder.glob("child-*")] == []


def test_many_lives_end_in_one_file(folder: Path, reporter: Reporter) -> None:
    for _ in range(5):
        kill(report(folder, figures(10)))
    assert samples(reporter.exposition())['done_total{kind="a"}'] == 51
    assert len(list(folder.glob("*.bin"))) == 2  # its own and the retired


def test_what_was_told_outlives_the_teller(folder: Path) -> None:
    """A scrape shows figures that no file has yet: they are written before they are shown."""
    kill(report(folder, figures(10)))
    other = Reporter(folder, "other")
    other.start()
    other.add(figures(0))
    assert samples(other.exposition())['done_total{kind="a"}'] == 10
    other.stop()


def test_an_orderly_stop_leaves_the_last_word(folder: Path, reporter: Reporter) -> None:
    done: list[int] = [3]

    def read() -> Figures:
        yield from figures(done[0])()

    other = Reporter(folder, "other")
    other.add(read)
    other.start()
    done[0] = 4
    other.stop()
    assert samples(reporter.exposition())['done_total{kind="a"}'] == 5


def test_a_crash_between_the_steps_of_retiring_counts_nothing_twice(folder: Path) -> None:
    """The retired file is written, and the dead one's file is still there."""
    kill(report(folder, figures(10)))
    (dead,) = folder.glob("child-*.bin")
    kept, lock = dead.read_bytes(), dead.with_suffix(".lock")
    first = SharedFolder(folder, "first")
    first.open()  # retires the dead
    assert not dead.exists()
    dead.write_bytes(kept)
    for _ in range(2):
        assert [rows[0][1] for rows in _rows(first)] == [[10]]
        lock.touch()
        first.retire()
    assert not dead.exists()
    first.close()


def _rows(shared: SharedFolder) -> list[list]:
    return [column.rows for column in shared.read().sums[DONE.name]]


def test_a_file_that_a_power_loss_left_empty_costs_nothing_else(
    folder: Path, reporter: Reporter
) -> None:
    pid = report(folder, figures(10))
    (folder / "retired.bin").write_bytes(b"")
    assert samples(reporter.exposition())['done_total{kind="a"}'] == 11
    kill(pid)
    assert samples(reporter.exposition())['done_total{kind="a"}'] == 11


def test_truth_is_a_number(folder: Path, reporter: Reporter) -> None:
    """msgpack has a type of its own for it."""
    pid = report(folder, lambda: iter([(DONE, {("a",): (True,)})]))
    assert samples(reporter.exposition())['done_total{kind="a"}'] == 2
    kill(pid)


def test_another_versions_labels_are_left_out(folder: Path, reporter: Reporter) -> None:
    changed = Family("done_total", "counter", "Things done.", ("kind", "more"))
    pid = report(folder, lambda: iter([(changed, {("a", "b"): (5,)})]))
    assert samples(reporter.exposition())['done_total{kind="a"}'] == 1
    kill(pid)
    assert samples(reporter.exposition())['done_total{kind="a"}'] == 1


def test_what_is_kept_of_the_dead_is_bounded(folder: Path) -> None:
    for life in range(2):
        writer = SharedFolder(folder, "writer")
        writer.open()
        rows = {(f"{life}-{number}",): (1,) for number in range(MAX_ROWS - 100)}
        writer.write(sheet_of([(DONE, rows)], writer.owner))
        writer.close()
    reader = SharedFolder(folder, "reader")
    reader.open()
    (column,) = reader.read().sums[DONE.name]
    kept = dict(column.rows)
    assert len(kept) == MAX_ROWS + 1
    assert sum(row[0] for row in kept.values()) == 2 * (MAX_ROWS - 100)
    assert kept[("other",)] == [MAX_ROWS - 200]
    reader.close()


def test_a_forked_child_is_another_process(folder: Path) -> None:
    """The parent's figures end with the parent, also while a child of it lives."""
    started = module.start(folder)
    started.add(figures(10, running=2))
    pid = fork(lambda: None)
    try:
        assert module.running() is started
        module.stop()
        reader = Reporter(folder, "reader")
        reader.add(figures(0))
        reader.start()
        told = samples(reader.exposition())
        assert (told['done_total{kind="a"}'], told["running"]) == (10, 0)
        reader.stop()
    finally:
        kill(pid)


def test_a_folder_that_cannot_be_made_costs_only_the_others_figures(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    reporter = Reporter(tmp_path / "file" / "metrics", "alone")
    reporter.add(figures(1))
    reporter.start()
    assert samples(reporter.exposition())['done_total{kind="a"}'] == 1
    reporter.stop()
