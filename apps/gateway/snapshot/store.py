"""The last good snapshot on local disk, so that a gateway starts without its database.

Several processes of a node write it, and during an upgrade two versions of ChatVault do. What one
does not know it leaves out; a file in another format, or without something that it needs, is to it
as if there were none, and it asks the database.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from apps.gateway.snapshot.model import Snapshot

MAGIC = b"cvsnap1\n"  # the number is the format's: it rises when a field changes its meaning


def save(snapshot: Snapshot, path: Path) -> None:
    """Write it whole or not at all: a new file, forced to disk, takes the old one's place.

    One that another process wrote since, of a later revision, stays.
    """
    kept = load(path)
    if (
        kept is not None
        and kept.version >= snapshot.version
        and kept.built_at_s > snapshot.built_at_s
    ):
        return
    payload = msgspec.msgpack.encode(snapshot)
    data = MAGIC + hashlib.sha256(payload).digest() + payload
    fresh = path.with_suffix(f".{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def load(path: Path) -> Snapshot | None:
    """The stored snapshot; None when there is none or it is not intact."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = len(MAGIC) + 32
    payload = data[start:]
    if not data.startswith(MAGIC) or hashlib.sha256(payload).digest() != data[len(MAGIC) : start]:
        return None
    try:
        return msgspec.msgpack.decode(payload, type=Snapshot)
    except msgspec.DecodeError:
        return None
