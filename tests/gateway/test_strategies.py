"""Weights are shares, the rest are fallbacks, and weight 0 is only ever a fallback."""

from __future__ import annotations

import random
from collections import Counter

from apps.gateway.contracts import Candidate
from apps.gateway.snapshot.model import Deployment
from apps.gateway.strategies import ordered, weighted
from apps.providers.adapters.contract import Endpoint


def candidate(name: str, weight: int) -> Candidate:
    deployment = Deployment(hash(name), name, "p", "openai", "http://p", "m")
    return Candidate(deployment, Endpoint("openai", "http://p", "m"), weight, None)


def test_the_first_is_drawn_by_weight() -> None:
    dice = random.Random(7)
    candidates = [candidate("a", 3), candidate("b", 1)]
    firsts = Counter(weighted(candidates, dice)[0].deployment.name for _ in range(4000))
    assert 2850 <= firsts["a"] <= 3150


def test_every_candidate_is_in_the_order_once() -> None:
    dice = random.Random(7)
    candidates = [candidate(name, weight) for name, weight in (("a", 5), ("b", 0), ("c", 2))]
    for _ in range(100):
        order = weighted(candidates, dice)
        assert sorted(c.deployment.name for c in order) == ["a", "b", "c"]
        assert order[-1].deployment.name == "b"


def test_weights_of_zero_alone_keep_the_admins_order() -> None:
    candidates = [candidate("a", 0), candidate("b", 0)]
    assert weighted(candidates, random.Random(1)) == candidates


def test_ordered_is_the_admins_order() -> None:
    candidates = [candidate("a", 1), candidate("b", 100)]
    assert ordered(candidates, random.Random(1)) == candidates
