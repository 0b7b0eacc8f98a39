"""Segment files of the journal: names, locks, and where they may lie.

`<boot>-<pid>-<seq>.cvj`: boot is the writer's start in milliseconds (hex) and four random hex
digits, so that names sort by age and a reused pid is another owner. The writer holds an
exclusive flock for as long as it writes; the kernel frees it even on SIGKILL, so a segment
whose lock can be had has no writer. A segment is locked before it gets its name.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import re
import secrets
from pathlib import Path
from typing import Final

from chatvault.lib import clock
from chatvault.lib.errors import JournalUnavailable

log = logging.getLogger(__name__)

SUFFIX: Final = ".cvj"
UNNAMED: Final = ".new"
_NAME: Final = re.compile(r"([0-9a-f]{16}-\d+)-(\d{8})\.cvj")
_KEEP_SIZE: Final = 1
_NETWORK: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"})
_VOLATILE: Final = frozenset({"tmpfs", "ramfs", "overlay"})


class Segment:
    """One file under its writer's lock. Bytes are preallocated; `seal` gives back the rest."""

    __slots__ = ("_unnamed", "fd", "is_broken", "path", "size", "synced")

    def __init__(self, directory: Path, owner: str, spare_bytes: int) -> None:
        """Raises OSError when the file cannot be made or the disk has no room for it."""
        self._unnamed = directory / f"{owner}-{secrets.token_hex(4)}{UNNAMED}"
        self.path = self._unnamed
        self.size = 0
        self.synced = 0  # bytes that are known to be on disk
        self.is_broken = False  # nothing may be written or forced to disk any more
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self.fd = os.open(self._unnamed, flags, 0o600)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _preallocate(self.fd, spare_bytes)
        except OSError:
            self.discard()
            raise

    def publish(self, owner: str, seq: int) -> None:
        """Give it its name: from now on readers see it. Raises OSError."""
        self.path = self._unnamed.with_name(f"{owner}-{seq:08d}{SUFFIX}")
        os.rename(self._unnamed, self.path)

    def discard(self) -> None:
        """Remove one that was never published."""
        os.close(self.fd)
        self._unnamed.unlink(missing_ok=True)

    def sync(self) -> bool:
        """Force what is written to disk. False: it failed, and asking again would lie, because
        the kernel may have dropped the dirty pages; the segment is broken from then on."""
        size = self.size
        if self.is_broken or self.synced >= size:
            return not self.is_broken
        try:
            os.fdatasync(self.fd)
        except OSError:
            self.is_broken = True
            log.exception("The journal segment %s was not forced to disk.", self.path.name)
            return False
        self.synced = size
        return True

    def seal(self) -> bool:
        """Give back what was preallocated, sync and free the lock. False: as `sync`."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, self.size)
        try:
            return self.sync()
        finally:
            os.close(self.fd)


def new_owner() -> str:
    """A name for this process as a writer: `<boot>-<pid>`."""
    boot = (clock.wall_ns() // 1_000_000) & 0xFFFF_FFFF_FFFF
    return f"{boot:012x}{secrets.token_hex(2)}-{os.getpid()}"


def owner_of(name: str) -> str:
    """The owner in a segment's name; empty when it is not the name of a segment."""
    match = _NAME.fullmatch(name)
    return match[1] if match else ""


def list_segments(directory: Path) -> list[Path]:
    """The published segments, oldest first."""
    return sorted(path for path in directory.glob(f"*{SUFFIX}") if owner_of(path.name))


def has_writer(directory: Path, newest: Path) -> bool:
    """Whether the owner of a segment, the newest that was seen, still writes.

    A writer publishes its next segment before it frees the last one, so a free lock tells the
    end only when no newer segment has come.
    """
    try:
        fd = os.open(newest, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    owner = owner_of(newest.name)
    return any(path > newest for path in directory.glob(f"{owner}-*{SUFFIX}"))


def bytes_in(directory: Path) -> int:
    """Size of all published segments."""
    total = 0
    for path in list_segments(directory):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def sync_directory(directory: Path) -> None:
    """Make renames and removals in it durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def prepare(directory: Path) -> None:
    """Make the folder (0700) and judge where it lies.

    Raises JournalUnavailable for a network file system, whose locks and writes cannot be
    trusted, and for a folder that cannot be made; warns of memory and container layers.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalUnavailable(f"The journal folder cannot be made: {error.strerror}.") from None
    kind = filesystem_of(directory)
    if kind in _NETWORK:
        raise JournalUnavailable(
            f"The journal folder is on a network file system ({kind}); "
            "set CHATVAULT_JOURNAL_DIR to a local disk."
        )
    if kind in _VOLATILE:
        log.warning(
            "The journal folder is on %s: records are lost with the machine or the container. "
            "Set CHATVAULT_JOURNAL_DIR to a volume.",
            kind,
        )


def filesystem_of(directory: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The type of the file system a folder lies on, as the kernel names it; empty: unknown."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    here = directory.resolve()
    best, kind = -1, ""
    for line in lines:
        fields = line.split(" ")
        point = fields[1].replace("\\040", " ")
        if len(point) >= best and here.is_relative_to(point):
            best, kind = len(point), fields[2]
    return kind


def _preallocate(fd: int, size: int) -> None:
    """Reserve blocks without changing the file's size. Raises OSError when the disk is full."""
    if _fallocate is None:
        return
    while _fallocate(fd, _KEEP_SIZE, 0, size):
        error = ctypes.get_errno()
        if error == 4:  # EINTR
            continue
        if error in (38, 95):  # ENOSYS, EOPNOTSUPP: this file system cannot reserve
            return
        raise OSError(error, os.strerror(error))


def _find_fallocate() -> ctypes._NamedFuncPointer | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).fallocate
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    function.restype = ctypes.c_int
    return function


_fallocate = _find_fallocate()


def journal_id(directory: Path) -> str:
    """The name of this journal folder among those that share a database; made once."""
    path = directory / "journal.id"
    if not path.exists():
        made = directory / f"journal.{secrets.token_hex(4)}.part"
        made.write_text(secrets.token_hex(8), encoding="ascii")
        with contextlib.suppress(FileExistsError):  # another process was quicker
            os.link(made, path)
        made.unlink()
    return path.read_text(encoding="ascii").strip()


def stored_owner(journal: str, owner: str) -> str:
    """How others name an owner: machines share database and Redis, not the journal folder."""
    return f"{journal}/{owner}"
