"""This process's figures: written for the other processes, and joined with theirs when asked."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from chatvault.lib.metrics.access import Access
from chatvault.lib.metrics.families import Family, Figures, Number, Row, Rows, Values
from chatvault.lib.metrics.shared import Joined, SharedFolder, added, sheet_of
from chatvault.lib.metrics.text import render

logger = logging.getLogger(__name__)

Source = Callable[[], Figures]

INTERVAL_S: Final = 1.0


class Reporter:
    """Asks its sources from a thread of its own, so that nothing else waits for it.

    A source is called from any thread. `node` sources tell what is the same for every process of
    the node, or for the whole installation: they are asked by the one that answers, not kept.
    """

    def __init__(self, folder: Path, process: str) -> None:
        self.process = process
        self.access = Access()
        self._shared = SharedFolder(folder, process)
        self._is_open = False
        self._sources: list[Source] = []
        self._node_sources: list[Source] = []
        self._lock = threading.Lock()  # one write at a time: a scrape writes too
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_failing = False

    def add(self, source: Source, *, node: bool = False) -> None:
        (self._node_sources if node else self._sources).append(source)

    def start(self) -> None:
        """A folder that cannot be written costs the others' figures, never the service."""
        try:
            self._shared.open()
            self._is_open = True
        except OSError as error:
            self._told(error)
            return
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The last word, then the place is given up."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._shared.close()
            self._is_open = False

    def forget(self) -> None:
        """In a forked child: thread and place are the parent's."""
        self._shared.forget()

    def exposition(self) -> bytes:
        """All figures of the node as text. What is told here is also kept: should this process
        be killed now, no counter goes back. Call it from a thread."""
        figures = self._own()
        joined = Joined()
        if self._is_open:
            self._write(figures)
            with contextlib.suppress(OSError):
                self._shared.retire()
                joined = self._shared.read()
        for source in list(self._node_sources):
            figures += source()
        return render(join(figures, joined))

    def _own(self) -> list[tuple[Family, Rows]]:
        return [pair for source in list(self._sources) for pair in source()]

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(INTERVAL_S)
            try:
                self._write(self._own())
            except Exception:  # the thread's edge: one bad figure must not end the others
                logger.exception("figures could not be read")

    def _write(self, figures: Figures) -> None:
        try:
            with self._lock:
                self._shared.write(sheet_of(figures, self._shared.owner))
            self._is_failing = False
        except OSError as error:
            self._told(error)

    def _told(self, error: OSError) -> None:
        if not self._is_failing:
            logger.warning("figures cannot be kept for other processes: %s", error.strerror)
        self._is_failing = True


def join(figures: Iterable[tuple[Family, Rows]], others: Joined) -> list[tuple[Family, Rows]]:
    """Our figures and theirs. A family that occurs twice here is one with the rows of both."""
    families: dict[str, Family] = {}
    merged: dict[str, dict[Values, Row]] = {}
    for family, rows in figures:
        families[family.name] = family
        into = merged.setdefault(family.name, {})
        for values, row in rows.items():
            _join_row(family, into, values, row)
    for name, family in families.items():
        columns = others.gauges if family.kind == "gauge" else others.sums
        for column in columns.get(name, ()):
            if column.shape == family.shape:
                for values, kept in column.rows:
                    _join_row(family, merged[name], values, kept)
    return [(family, merged[name]) for name, family in families.items()]


def _join_row(family: Family, into: dict[Values, Row], values: Values, row: Row) -> None:
    known = into.get(values)
    if known is None:
        into[values] = row
    elif family.joined == "sum":
        into[values] = added(list[Number](known), row)
    else:
        choose = max if family.joined == "max" else min
        into[values] = (choose(known[0], row[0]),)


class _Process:
    """What this process reports by; one instance, below."""

    name = "chatvault"
    reporter: Reporter | None = None


_process = _Process()


def be(name: str) -> None:
    """This process's name, one of a few: `gateway1`, `ingest`. Told by what started it."""
    _process.name = name


def process_name() -> str:
    return _process.name


def running() -> Reporter | None:
    return _process.reporter


def start(folder: Path) -> Reporter:
    """Make the reporter of this process and start it. After the last fork."""
    _process.reporter = Reporter(folder, _process.name)
    _process.reporter.start()
    return _process.reporter


def stop() -> None:
    """The last figures are kept for the others."""
    reporter, _process.reporter = _process.reporter, None
    if reporter is not None:
        reporter.stop()


def _forget() -> None:
    reporter, _process.reporter = _process.reporter, None
    if reporter is not None:
        reporter.forget()


os.register_at_fork(after_in_child=_forget)
