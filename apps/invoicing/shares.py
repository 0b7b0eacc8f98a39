"""Dividing an amount exactly: nothing is lost, nothing is made, no share is negative."""

from __future__ import annotations

from collections.abc import Sequence


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """`total` (not negative) in shares by weight, by the largest remainder; equal remainders go to
    the first. Without any weight all are equal. The shares sum to `total` exactly."""
    if not weights:
        return []
    if total < 0 or min(weights) < 0:
        raise ValueError("Neither a total nor a weight is negative.")
    whole = sum(weights)
    if not whole:
        weights, whole = [1] * len(weights), len(weights)
    shares, remainders = [], []
    for weight in weights:
        share, rest = divmod(total * weight, whole)
        shares.append(share)
        remainders.append(rest)
    left = total - sum(shares)
    order = sorted(range(len(weights)), key=lambda at: -remainders[at])
    for at in order[:left]:
        shares[at] += 1
    return shares
