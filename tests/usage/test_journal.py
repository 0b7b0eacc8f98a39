import asyncio
import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.usage import segments
from apps.usage.journal import Journal
from apps.usage.records import HEAD_BYTES, decode_payload, encode_frame, payload_at
from chatvault.lib.errors import JournalUnavailable
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import end, intent, progress, settle, start


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    journal.open()
    yield journal
    journal.close()


def frames(path: Path) -> list[object]:
    data, at, found = path.read_bytes(), 0, []
    while (payload := payload_at(data, at)) is not None:
        found.append(decode_payload(payload))
        at += HEAD_BYTES + len(payload)
    assert at == len(data)
    return found


def everything(folder: Path) -> list[object]:
    return [record for path in segments.list_segments(folder) for record in frames(path)]


def test_what_was_appended_is_in_the_file_at_once(tmp_path, journal):
    one = uuid7_bytes()
    records = [
        intent(one, budgets=((1, 1_790_000_000), (2, 0))),
        start(one),
        progress(one, 12),
        end(one),
        settle(one),
    ]
    journal.append(*records[:2])
    journal.append(records[2])
    journal.append(*records[3:])
    assert everything(tmp_path) == records


def test_a_segment_is_private_and_locked_while_its_writer_lives(tmp_path, journal):
    (path,) = segments.list_segments(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert segments.owner_of(path.name) == journal.owner
    with path.open("rb") as reader, pytest.raises(BlockingIOError):
        fcntl.flock(reader, fcntl.LOCK_EX | fcntl.LOCK_NB)
    journal.close()
    with path.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert list(tmp_path.glob("*.new")) == []


def test_segments_follow_each_other_in_order(tmp_path):
    journal = Journal(tmp_path, segment_bytes=1000)
    journal.open()
    records = [settle(uuid7_bytes()) for _ in range(40)]
    for record in records:
        journal.append(record)
    journal.close()
    assert everything(tmp_path) == records
    sizes = [path.stat().st_size for path in segments.list_segments(tmp_path)]
    in_each = 1000 // len(encode_frame(records[0]))
    assert len(sizes) == -(-len(records) // in_each) > 3
    assert max(sizes) <= 1000


def test_at_the_cap_new_requests_are_refused_and_running_ones_settle(tmp_path):
    journal = Journal(tmp_path, cap_bytes=600)
    journal.open()
    accepted = []
    with pytest.raises(JournalUnavailable):
        for _ in range(100):
            one = intent()
            journal.append(one)
            accepted.append(one)
    assert not journal.is_writable()
    ends = [settle(one.request_id) for one in accepted]
    for record in ends:
        journal.append(record)
    with pytest.raises(JournalUnavailable):
        journal.append(intent(), start(uuid7_bytes()))
    journal.close()
    assert everything(tmp_path) == [*accepted, *ends]


def test_at_the_cap_a_segment_that_is_not_full_is_left_so_that_it_can_go_away(tmp_path):
    journal = Journal(tmp_path, cap_bytes=400)
    journal.open()
    wait_until(lambda: journal._spare is not None)  # it measures the folder again in a second
    with pytest.raises(JournalUnavailable):
        for _ in range(100):
            journal.append(intent())
    wait_until(lambda: len(segments.list_segments(tmp_path)) == 2)
    shipped, _ = segments.list_segments(tmp_path)
    assert not journal.is_writable()
    shipped.unlink()  # as ingest does once it is in the database
    wait_until(journal.is_writable)
    journal.append(intent())
    journal.close()


def test_on_a_full_disk_new_requests_are_refused_and_running_ones_settle(tmp_path, monkeypatch):
    def no_room(_fd: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    journal = Journal(tmp_path)
    journal.open()
    one = intent()
    journal.append(one)
    monkeypatch.setattr(segments, "_preallocate", no_room)
    spare = journal._spare
    if spare is not None:
        spare.discard()
        journal._spare = None
    wait_until(lambda: not journal.is_writable())
    with pytest.raises(JournalUnavailable):
        journal.append(intent())
    journal.append(settle(one.request_id))
    monkeypatch.undo()
    wait_until(journal.is_writable)
    later = intent()
    journal.append(later)
    journal.close()
    assert everything(tmp_path) == [one, settle(one.request_id), later]


def test_a_short_write_leaves_no_trace_and_goes_on_in_the_next_segment(
    tmp_path, journal, monkeypatch
):
    first, second = settle(uuid7_bytes()), settle(uuid7_bytes())
    journal.append(first)
    real, calls = os.write, []

    def short(fd: int, data: bytes) -> int:
        calls.append(len(data))
        return real(fd, data[:50] if len(calls) == 1 else data)

    monkeypatch.setattr(os, "write", short)
    journal.append(second)
    assert [frames(path) for path in segments.list_segments(tmp_path)] == [[first], [second]]


def test_a_write_that_never_succeeds_is_an_error_and_writes_nothing(tmp_path, journal, monkeypatch):
    def fails(_fd: int, _data: bytes) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "write", fails)
    with pytest.raises(JournalUnavailable):
        journal.append(intent())
    assert everything(tmp_path) == []


def test_after_a_while_without_room_the_owed_is_written_and_new_requests_pass(
    tmp_path, journal, monkeypatch
):
    one, two = uuid7_bytes(), uuid7_bytes()
    journal.append(intent(one), start(one))
    wait_until(lambda: journal._spare is not None)
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", _no_room)
        with pytest.raises(JournalUnavailable):
            journal.append(settle(one))
        with pytest.raises(JournalUnavailable):
            journal.append(intent(two))
        assert not journal.is_writable()
    wait_until(journal.is_writable)
    journal.append(intent(two))
    assert everything(tmp_path) == [intent(one), start(one), settle(one), intent(two)]


def test_what_is_owed_is_written_at_the_end_at_the_latest(tmp_path, monkeypatch):
    journal, one = Journal(tmp_path), uuid7_bytes()
    journal.open()
    journal.append(intent(one))
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", _no_room)
        with pytest.raises(JournalUnavailable):
            journal.append(settle(one))
    journal.close()
    assert everything(tmp_path) == [intent(one), settle(one)]


def _no_room(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_sync_is_not_repeated_on_the_same_file(tmp_path, monkeypatch):
    synced: list[int] = []

    def fails(fd: int) -> None:
        synced.append(os.fstat(fd).st_ino)
        raise OSError(errno.EIO, "Input/output error")

    journal = Journal(tmp_path, ack="disk")
    journal.open()
    (first,) = segments.list_segments(tmp_path)
    one, two = settle(uuid7_bytes()), settle(uuid7_bytes())
    monkeypatch.setattr(os, "fdatasync", fails)

    async def told() -> None:
        journal.append(one)
        with pytest.raises(JournalUnavailable):
            await asyncio.wait_for(journal.durable(), 5)

    asyncio.run(told())
    wait_until(lambda: len(segments.list_segments(tmp_path)) == 2)
    monkeypatch.undo()
    journal.append(two)
    journal.close()
    assert synced == [first.stat().st_ino]
    assert [frames(path) for path in segments.list_segments(tmp_path)] == [[one], [two]]


async def test_durable_waits_for_the_disk_and_many_share_one_sync(tmp_path, monkeypatch):
    sizes: list[int] = []
    real = os.fdatasync

    def counted(fd: int) -> None:
        sizes.append(os.fstat(fd).st_size)
        time.sleep(0.02)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", counted)
    journal = Journal(tmp_path, ack="disk", sync_interval_s=60)
    journal.open()

    async def one() -> None:
        journal.append(settle(uuid7_bytes()))
        await journal.durable()
        assert sizes

    await asyncio.gather(*(one() for _ in range(100)))
    assert sizes[-1] == 100 * len(encode_frame(settle(uuid7_bytes())))
    assert len(sizes) <= 3
    journal.close()


async def test_process_mode_does_not_wait(tmp_path, monkeypatch):
    journal = Journal(tmp_path, sync_interval_s=60)
    journal.open()
    monkeypatch.setattr(os, "fdatasync", lambda fd: time.sleep(0.5))
    journal.append(settle(uuid7_bytes()))
    began = time.monotonic()
    await journal.durable()
    assert time.monotonic() - began < 0.1
    monkeypatch.undo()
    journal.close()


def test_records_reach_the_disk_within_the_interval(tmp_path, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_size))
    journal = Journal(tmp_path, sync_interval_s=0.02)
    journal.open()
    journal.append(settle(uuid7_bytes()))
    size = len(encode_frame(settle(uuid7_bytes())))
    wait_until(lambda: synced == [size])
    journal.close()


def test_a_closed_journal_refuses(tmp_path, journal):
    journal.close()
    journal.close()
    assert not journal.is_writable()
    with pytest.raises(JournalUnavailable):
        journal.append(settle(uuid7_bytes()))


@pytest.mark.parametrize(("kind", "verdict"), [("nfs4", "refused"), ("tmpfs", "warned")])
def test_where_the_journal_may_lie(tmp_path, monkeypatch, caplog, kind, verdict):
    monkeypatch.setattr(segments, "filesystem_of", lambda _path: kind)
    if verdict == "refused":
        with pytest.raises(JournalUnavailable, match="nfs4"):
            Journal(tmp_path).open()
    else:
        journal = Journal(tmp_path)
        journal.open()
        journal.close()
        assert "tmpfs" in caplog.text


def test_the_innermost_mount_tells_the_file_system(tmp_path):
    mounts = tmp_path / "mounts"
    inner = tmp_path / "a b"
    inner.mkdir()
    escaped = str(inner).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {escaped} nfs4 rw 0 0\n")
    assert segments.filesystem_of(inner, mounts) == "nfs4"
    assert segments.filesystem_of(tmp_path, mounts) == "ext4"


_WRITER = """
import sys
from pathlib import Path
from apps.usage.journal import Journal
from tests.usage.samples import settle
from chatvault.lib.ids import uuid7_bytes
journal = Journal(Path(sys.argv[1]), segment_bytes=4000)
journal.open()
while True:
    one = uuid7_bytes()
    journal.append(settle(one))
    print(one.hex(), flush=True)
"""


def test_a_killed_writer_loses_nothing_it_was_told_is_written(tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(200)]
    writer.send_signal(signal.SIGKILL)
    said += writer.stdout.readlines()
    writer.wait()
    told = [bytes.fromhex(line.strip()) for line in said if line.endswith("\n")]
    written = [record.request_id for record in everything(tmp_path)]
    assert told == written[: len(told)]
    assert len(written) - len(told) <= 1
    for path in segments.list_segments(tmp_path):
        with path.open("rb") as reader:
            fcntl.flock(reader, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_forked_child_neither_writes_nor_keeps_the_lock(tmp_path, journal):
    journal.append(settle(uuid7_bytes()))
    before = everything(tmp_path)
    child = os.fork()
    if child == 0:
        try:
            journal.append(settle(uuid7_bytes()))
        except JournalUnavailable:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert everything(tmp_path) == before


def wait_until(condition, timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
