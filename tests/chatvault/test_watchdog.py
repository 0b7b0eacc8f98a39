"""Which worker counts as stuck: messages wait, it has a place, and it takes none."""

from __future__ import annotations

from itertools import repeat

import pytest

from chatvault.watchdog import PATIENCE, Watchdog


def looks(waiting: list[int | None], taken: list[int], has_place: list[bool]) -> list[bool]:
    seen = [iter(waiting), iter(taken), iter(has_place)]
    dog = Watchdog(*[lambda each=each: next(each) for each in seen])  # type: ignore[misc]
    return [dog.look() for _ in waiting]


def test_who_takes_nothing_although_there_is_something_is_stuck() -> None:
    many = PATIENCE + 1
    assert looks([3] * many, [7] * many, [True] * many) == [False] * PATIENCE + [True]


@pytest.mark.parametrize(
    ("waiting", "taken", "has_place"),
    [
        (repeat(0), repeat(7), repeat(True)),  # nothing to do
        (repeat(None), repeat(7), repeat(True)),  # the broker is away
        (repeat(3), range(100), repeat(True)),  # one after the other
        (repeat(3), repeat(7), repeat(False)),  # busy with long ones
        ([3, 3, 3, None] * 5, repeat(7), repeat(True)),  # the broker comes and goes
        ([3, 3, 3, 0] * 5, repeat(7), repeat(True)),
    ],
)
def test_who_works_or_has_nothing_to_do_is_not(waiting, taken, has_place) -> None:
    rows = list(zip(waiting, taken, has_place, range(20), strict=False))
    assert not any(looks(*([row[at] for row in rows] for at in range(3))))
