import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.usage.reader import SegmentReader
from apps.usage.records import MAGIC, encode_frame
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import end, intent, progress, settle, start


def thousand() -> list[object]:
    records: list[object] = []
    for number in range(200):
        one = number.to_bytes(16, "big")
        records += [intent(one), start(one), progress(one, number), end(one), settle(one)]
    return records


RECORDS = thousand()
FRAMES = [encode_frame(record) for record in RECORDS]
BYTES = b"".join(FRAMES)
PLACES = {frame: number for number, frame in enumerate(FRAMES)}
ENDS = list(itertools.accumulate(len(frame) for frame in FRAMES))


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("segments") / "one.cvj"


def read(path: Path, data: bytes, *, is_final: bool = True):
    path.write_bytes(data)
    reader = SegmentReader(path)
    try:
        return list(reader.records(is_final=is_final)), reader
    finally:
        reader.close()


@settings(max_examples=150, deadline=None)
@given(size=st.integers(0, len(BYTES)))
def test_any_truncation_gives_the_whole_records_before_it(path, size):
    found, reader = read(path, BYTES[:size])
    whole = sum(at <= size for at in ENDS)
    assert found == RECORDS[:whole]
    assert reader.torn_bytes == size - ([0, *ENDS])[whole]
    assert reader.damages == []
    assert reader.offset == size


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(BYTES) - 1), mask=st.integers(1, 255))
def test_any_flipped_byte_costs_one_record_and_makes_no_wrong_one(path, at, mask):
    data = bytearray(BYTES)
    data[at] ^= mask
    found, reader = read(path, bytes(data))
    hit = sum(end <= at for end in ENDS)
    assert found == RECORDS[:hit] + RECORDS[hit + 1 :]
    start_of = ([0, *ENDS])[hit]
    aside = sum(len(damage.data) for damage in reader.damages) + reader.torn_bytes
    assert aside == len(FRAMES[hit])
    if reader.damages:
        assert reader.damages[0].offset == start_of
        assert reader.damages[0].data == bytes(data[start_of : ENDS[hit]])


@settings(max_examples=100, deadline=None)
@given(
    cuts=st.lists(st.integers(0, len(BYTES)), min_size=2, max_size=2), junk=st.binary(max_size=300)
)
def test_a_replaced_stretch_never_makes_a_wrong_record(path, cuts, junk):
    first, last = sorted(cuts)
    found, _ = read(path, BYTES[:first] + junk + BYTES[last:])
    places = [PLACES[encode_frame(record)] for record in found]
    assert places == sorted(set(places))
    starts = [0, *ENDS]
    untouched = [n for n in range(len(FRAMES)) if ENDS[n] <= first or starts[n] >= last]
    assert set(untouched) <= set(places)


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(st.integers(1, 5000), min_size=1, max_size=30))
def test_a_growing_file_is_followed_whatever_its_steps(path, steps):
    path.write_bytes(b"")
    reader = SegmentReader(path)
    found, at = [], 0
    for step in steps:
        with path.open("ab") as file:
            file.write(BYTES[at : at + step])
        at = min(at + step, len(BYTES))
        found += reader.records(is_final=False)
        assert found == RECORDS[: sum(end <= at for end in ENDS)]
    reader.close()


def test_a_lone_bad_checksum_at_the_end_is_damage_not_a_torn_tail(path):
    last = bytearray(FRAMES[-1])
    last[-1] ^= 1
    found, reader = read(path, FRAMES[0] + bytes(last))
    assert found == RECORDS[:1]
    assert reader.torn_bytes == 0
    assert [damage.data for damage in reader.damages] == [bytes(last)]


def test_zeroes_after_a_power_cut_are_a_torn_tail(path):
    found, reader = read(path, FRAMES[0] + b"\0" * 5000)
    assert found == RECORDS[:1]
    assert reader.torn_bytes == 5000


def test_damage_longer_than_any_buffer_is_stepped_over(path):
    junk = (MAGIC + bytes(30_000)) * 300
    found, reader = read(path, FRAMES[0] + junk + FRAMES[1])
    assert found == RECORDS[:2]
    assert [len(damage.data) for damage in reader.damages] == [len(junk)]


def test_a_live_file_waits_at_an_unfinished_frame(path):
    found, reader = read(path, FRAMES[0] + FRAMES[1][:20], is_final=False)
    assert found == RECORDS[:1]
    assert (reader.offset, reader.torn_bytes, reader.damages) == (len(FRAMES[0]), 0, [])


def test_a_record_out_of_bounds_is_damage(path):
    bad = encode_frame(settle(b"too short"))
    late = encode_frame(settle(uuid7_bytes(), cost_nano=-1))
    found, reader = read(path, bad + late + FRAMES[0])
    assert found == RECORDS[:1]
    assert [damage.data for damage in reader.damages] == [bad, late]


@pytest.mark.parametrize("seen", [0, 1, 30, len(FRAMES[0]) + 1])
def test_what_is_written_while_the_reader_looks_is_no_damage(path, monkeypatch, seen):
    """The file ends here when it is read and goes on when damage is looked for."""
    path.write_bytes(BYTES[:seen])
    reader = SegmentReader(path)

    def read_then_write(fd: int, count: int, offset: int, pread=os.pread) -> bytes:
        data = pread(fd, count, offset)
        if not data:
            path.write_bytes(BYTES)
        return data

    monkeypatch.setattr("apps.usage.reader.os.pread", read_then_write)
    assert list(reader.records(is_final=False)) == RECORDS
    assert reader.damages == []
    reader.close()
