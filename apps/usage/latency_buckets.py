"""Latencies by buckets that grow by a tenth: percentiles of any number of requests, from counts.

A percentile is off by 5 % at most, which is less than it moves from hour to hour.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from django.db.models import Case, IntegerField, Value, When

GROWTH: Final = 1.1
MOST_MS: Final = 2**31 - 1
_STEP: Final = math.log(GROWTH)


def _bounds() -> tuple[int, ...]:
    """In whole numbers, so that everybody agrees where a bucket ends."""
    bounds = [1]
    while bounds[-1] < MOST_MS:
        bounds.append(11 ** len(bounds) // 10 ** len(bounds))
    return tuple(bounds)


BOUNDS: Final = _bounds()
"""The last millisecond of each bucket. Counts by bucket are in the database: never change them."""


def bucket_of(ms: int) -> int:
    """As `bucket_sql` finds it."""
    return bisect_left(BOUNDS, ms)


def bucket_of_column(name: str) -> Any:
    """The same as an expression of the ORM, of a column that is not NULL."""
    return _search(name, 0, len(BOUNDS) - 1)


@cache
def _search(name: str, low: int, high: int) -> Any:
    """By halves, since databases try the branches of a CASE one after the other."""
    if low == high:
        return Value(low, output_field=IntegerField())
    middle = (low + high) // 2
    return Case(
        When(**{f"{name}__lte": BOUNDS[middle]}, then=_search(name, low, middle)),
        default=_search(name, middle + 1, high),
        output_field=IntegerField(),
    )


def bucket_sql(column: str) -> str:
    """The bucket of a column of milliseconds; bucket 0 is up to one."""
    more = f"CASE WHEN {column} > 1 THEN {column} ELSE 1 END"
    return f"CAST(CEIL(LN({more}) / {_STEP!r} - 0.000000000001) AS integer)"


def middle_ms(bucket: int) -> int:
    return round(GROWTH ** (bucket - 0.5)) if bucket > 0 else 1


_LANE: Final = 48
_LANE_BYTES: Final = _LANE // 8
_LANE_MASK: Final = (1 << _LANE) - 1


class Packed(NamedTuple):
    """Counts as a row keeps them: six bytes for each bucket from `lowest` on."""

    lowest: int
    counts: bytes


class Histogram:
    """How many requests are in which bucket, as one number: 48 bits for each bucket. Adding up
    thousands of histograms is adding up numbers, and what is taken away again leaves no trace.
    """

    __slots__ = ("number",)

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def add(self, other: Histogram, sign: int = 1) -> None:
        self.number += sign * other.number

    def count(self, bucket: int, count: int) -> None:
        """So many more in a bucket; less than nothing takes away."""
        self.number += count << (_LANE * bucket)

    def buckets(self) -> Iterator[tuple[int, int]]:
        """Those with requests in them and how many, the quickest first."""
        rest, bucket = self.number, 0
        while rest > 0:
            if count := rest & _LANE_MASK:
                yield bucket, count
            rest, bucket = rest >> _LANE, bucket + 1

    def percentile(self, percent: int) -> int | None:
        """In milliseconds, as exact as a bucket is wide; None where nothing was measured."""
        found = list(self.buckets())
        rank = -(-sum(count for _, count in found) * percent // 100)  # the nearest, from above
        for bucket, count in found:
            rank -= count
            if rank <= 0:
                return middle_ms(bucket)
        return None

    def packed(self) -> Packed:
        """Of one that is not empty."""
        lowest = ((self.number & -self.number).bit_length() - 1) // _LANE
        number = self.number >> (_LANE * lowest)
        width = -(-number.bit_length() // _LANE) * _LANE_BYTES
        return Packed(lowest, number.to_bytes(width, "little"))

    @classmethod
    def of(cls, lowest: int, counts: bytes) -> Histogram:
        return cls(int.from_bytes(counts, "little") << (_LANE * lowest))
