"""In which order the candidates of an alias are tried. Pure, but for the dice."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from apps.gateway.contracts import Candidate

Strategy = Callable[[Sequence[Candidate], random.Random], list[Candidate]]


def weighted(candidates: Sequence[Candidate], dice: random.Random) -> list[Candidate]:
    """First by weight, then the others as fallbacks, again by weight; weight 0 comes last."""
    if len(candidates) == 1:
        return list(candidates)
    rest = list(candidates)
    order: list[Candidate] = []
    while rest:
        total = sum(candidate.weight for candidate in rest)
        if total == 0:
            return order + rest
        order.append(rest.pop(_pick(rest, dice.random() * total)))
    return order


def _pick(candidates: list[Candidate], point: float) -> int:
    """The one whose share of the line [0, Σ weights) holds the point."""
    for index, candidate in enumerate(candidates):
        point -= candidate.weight
        if point < 0:
            return index
    return len(candidates) - 1


def ordered(candidates: Sequence[Candidate], dice: random.Random) -> list[Candidate]:
    """As the admin put them."""
    return list(candidates)


ORDERED = "ordered"
STRATEGIES: dict[str, Strategy] = {"weighted": weighted, ORDERED: ordered}
