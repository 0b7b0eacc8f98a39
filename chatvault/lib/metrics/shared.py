"""The folder in which the processes of a node keep their figures for each other.

`<owner>.bin` is one process's last word, replaced in one step; it holds a lock on `<owner>.lock`
for as long as it lives, and the kernel frees it even on SIGKILL. Whoever reads adds up all files.
The counters of the dead are moved to `retired.bin`, which names the owners it holds: a crash in
the middle, or a reader at that moment, counts nothing twice.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from chatvault.lib import clock
from chatvault.lib.metrics.families import OTHER, Figures, Number, Values

logger = logging.getLogger(__name__)

MAX_ROWS: Final = 1000
"""Rows of one family that are kept of the dead; what comes later is added to `other`."""
STALE_S: Final = 15.0
_OWNERS: Final = 2000


class Column(msgspec.Struct, array_like=True):
    """One family's rows as they are kept."""

    shape: str
    rows: list[tuple[Values, list[Number]]]


class Sheet(msgspec.Struct, array_like=True):
    """All figures of one process, or of all that are dead."""

    at_s: float = 0.0
    columns: dict[str, Column] = {}
    owners: list[str] = []  # whose figures these are


class Joined(msgspec.Struct):
    """What the other processes say: sums of all that ever were, gauges of those that live."""

    sums: dict[str, list[Column]] = {}
    gauges: dict[str, list[Column]] = {}


def sheet_of(figures: Figures, owner: str) -> Sheet:
    columns = {
        family.name: Column(
            family.shape, [(key, [+number for number in row]) for key, row in rows.items()]
        )
        for family, rows in figures
    }
    return Sheet(clock.wall_s(), columns, [owner])


class SharedFolder:
    """One process's place in the folder. `open` it after the last fork."""

    def __init__(self, folder: Path, process: str) -> None:
        self._folder = folder
        self.owner = f"{process}-{os.getpid()}-{secrets.token_hex(4)}"
        self._lock = -1

    def open(self) -> None:
        """Raises OSError when the folder does not serve."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # locked before it gets its name, so that nobody takes a newborn for dead
        unnamed = self._folder / f"{self.owner}.new"
        self._lock = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unnamed.rename(self._folder / f"{self.owner}.lock")
        self.retire()

    def close(self) -> None:
        """From now on this process counts as dead; its last word stays."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def forget(self) -> None:
        """In a forked child: the place is the parent's, and must end with it."""
        self.close()

    def write(self, sheet: Sheet) -> None:
        """Raises OSError. After a crash the file is the old one or the new one."""
        _replace(self._folder / f"{self.owner}.bin", sheet)

    def read(self) -> Joined:
        """The figures of all other processes, living and dead. Needs no lock: see above."""
        sheets = {
            path.stem: (not _is_dead(path.with_suffix(".lock")), sheet)
            for path in self._folder.glob("*.bin")
            if path.stem not in (self.owner, "retired") and (sheet := _load(path)) is not None
        }
        retired = _load(self._folder / "retired.bin") or Sheet()
        joined = Joined()
        for name, column in retired.columns.items():
            joined.sums.setdefault(name, []).append(column)
        for owner, (is_alive, sheet) in sheets.items():
            if owner in retired.owners:
                continue
            is_fresh = is_alive and clock.wall_s() - sheet.at_s < STALE_S
            for name, column in sheet.columns.items():
                if not column.shape.startswith("gauge:"):
                    joined.sums.setdefault(name, []).append(column)
                elif is_fresh:
                    joined.gauges.setdefault(name, []).append(column)
        return joined

    def retire(self) -> None:
        """Move the counters of the dead to one file. Another process that is at it does it all."""
        fd = os.open(self._folder / "retired.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._retire()
        except BlockingIOError:
            return
        finally:
            os.close(fd)

    def _retire(self) -> None:
        dead = [
            path.stem
            for path in sorted(self._folder.glob("*.lock"))
            if path.stem not in (self.owner, "retired") and _is_dead(path)
        ]
        if not dead:
            return
        retired = _load(self._folder / "retired.bin") or Sheet()
        for owner in dead:
            sheet = _load(self._folder / f"{owner}.bin")
            if sheet is not None and owner not in retired.owners:
                _add(retired.columns, sheet.columns)
                retired.owners.append(owner)
        retired.owners = retired.owners[-_OWNERS:]
        _replace(self._folder / "retired.bin", retired)
        for owner in dead:
            for suffix in (".bin", ".part", ".lock"):
                (self._folder / f"{owner}{suffix}").unlink(missing_ok=True)


def added(into: list[Number], row: Iterable[Number]) -> list[Number]:
    return [mine + other for mine, other in zip(into, row, strict=True)]


def _add(into: dict[str, Column], columns: dict[str, Column]) -> None:
    """Sums only. A family whose shape has changed with the version begins anew."""
    for name, column in columns.items():
        if column.shape.startswith("gauge:"):
            continue
        known = into.get(name)
        if known is None or known.shape != column.shape:
            known = into[name] = Column(column.shape, [])
        rows = dict(known.rows)
        for values, row in column.rows:
            if values not in rows and len(rows) >= MAX_ROWS:
                values = (OTHER,) * len(values)  # noqa: PLW2901 - where the rest goes
            rows[values] = added(rows[values], row) if values in rows else row
        known.rows = list(rows.items())


def _is_dead(lock: Path) -> bool:
    """Whether its process is gone. Without a lock file it is: that is removed last."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def _load(path: Path) -> Sheet | None:
    """None for a file that is gone, or that a power loss left empty or in part."""
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Sheet)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        logger.warning("the figures in %s cannot be read: %s", path.name, error)
        return None


def _replace(path: Path, sheet: Sheet) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.msgpack.encode(sheet))
    part.replace(path)
