"""Feeding a reader in slices, and what any slicing must agree on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from unittest.mock import patch

from apps.providers.adapters.contract import StreamReader
from chatvault.lib.errors import UpstreamError


def run(reader: StreamReader, slices: list[bytes]) -> tuple[object, ...]:
    """All that a stream comes to: output, failure, usage, counts and completeness."""
    out = b""
    failure: tuple[object, ...] = ()
    try:
        for part in slices:
            out += reader.feed(part)
        out += reader.finish()
    except UpstreamError as error:
        failure = (type(error).__name__, error.http_status, error.message)
    return out, failure, reader.usage, reader.output_events, reader.is_complete


@contextmanager
def one_moment() -> Iterator[None]:
    """Every chunk says when its stream began: streams that are compared begin together."""
    with patch("chatvault.lib.clock.wall_s", lambda: 1_800_000_000.0):
        yield


def cut(data: bytes, points: list[int]) -> list[bytes]:
    """`data` in slices that end at the points (taken modulo its length)."""
    marks = sorted({point % (len(data) + 1) for point in points} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(marks)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]
