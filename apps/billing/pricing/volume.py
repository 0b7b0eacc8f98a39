"""What a month's volume gives back. Pure integers; asked once a month, not in the hot path.

The volume is the tokens in and out of one client on one model in one month. Every request was
charged without regard to it; the rebate is what that was too much.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated, Literal, TypeVar

import msgspec

from apps.billing.pricing.bill import input_parts, output_parts, token_sum
from apps.billing.pricing.model import PPM, UNIT_RATES, Price, Rates, Tokens
from apps.providers.adapters.contract import Usage
from chatvault.lib.money import TOKENS_PER_PRICE

Key = TypeVar("Key", bound=Hashable)
Total = tuple[Key, Usage, int]
"""What it is booked on (a request, an hour), its tokens by class, and what was charged."""
Share = Annotated[int, msgspec.Meta(ge=0, le=PPM)]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What tokens above a volume cost: a part of what was charged, or fixed rates by class."""

    above: Tokens
    factor_ppm: Share = PPM
    rates: Rates = {}

    def __post_init__(self) -> None:
        if self.rates and self.factor_ppm != PPM:
            raise ValueError(f"The step above {self.above} has a factor and rates: choose one.")
        if self.rates and not {"input", "output"} <= self.rates.keys():
            raise ValueError(f"The step above {self.above} lacks the rate of input or output.")
        if self.rates.keys() & UNIT_RATES:
            raise ValueError("Volume counts tokens: only token rates can depend on it.")


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`graduated`: each step is for the tokens above it. `all_units`: the step that the month
    reached is for all of its tokens. Below the first step everything costs what was charged."""

    kind: Literal["graduated", "all_units"]
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        starts = [step.above for step in self.steps]
        if not starts:
            raise ValueError("A volume schedule has at least one step.")
        if starts != sorted(set(starts)):
            raise ValueError("Steps are given in ascending order, each volume once.")


def cost_of(schedule: Schedule, usage: Usage, charged_nano: int) -> int:
    """What a month costs under the schedule, in nano-USD, rounded once, half-up.

    Within a step the classes of tokens have the shares that they have in the month.
    """
    volume = usage.input_tokens + usage.output_tokens
    if volume <= 0:
        return charged_nano
    numerator = 0
    for step, tokens in _spread(schedule, volume):
        if step is None:
            numerator += tokens * charged_nano * TOKENS_PER_PRICE
        elif step.rates:
            numerator += tokens * _at_rates(step.rates, usage)
        else:
            numerator += tokens * charged_nano * step.factor_ppm
    denominator = volume * TOKENS_PER_PRICE
    return (2 * numerator + denominator) // (2 * denominator)


def rebate(schedule: Schedule, totals: Sequence[Total[Key]]) -> list[tuple[Key, int]]:
    """By how much each charge changes, never up and never below zero.

    The sum is exactly what the month's charges are above `cost_of` all of it. It is split in
    proportion to the charges, the odd nano-USD by largest remainder, and among equals by the
    order of `totals`. Raises ValueError for negative tokens or charges.
    """
    for key, usage, charged in totals:
        if charged < 0 or min(msgspec.structs.astuple(usage)) < 0:
            raise ValueError(f"{key!r} has a negative charge or count: nothing is given back.")
    charged_nano = sum(charged for _, _, charged in totals)
    month = _sum_of([usage for _, usage, _ in totals])
    given_back = charged_nano - cost_of(schedule, month, charged_nano)
    if given_back <= 0:
        return [(key, 0) for key, _, _ in totals]
    shares = [divmod(given_back * charged, charged_nano) for _, _, charged in totals]
    odd = given_back - sum(whole for whole, _ in shares)
    by_rest = sorted(range(len(totals)), key=lambda place: (-shares[place][1], place))
    favoured = set(by_rest[:odd])
    return [
        (key, -(shares[place][0] + (place in favoured))) for place, (key, _, _) in enumerate(totals)
    ]


def _spread(schedule: Schedule, volume: int) -> list[tuple[Step | None, int]]:
    """How many of the tokens are under which step; None: below the first."""
    reached = [step for step in schedule.steps if volume > step.above]
    if schedule.kind == "all_units":
        return [(reached[-1] if reached else None, volume)]
    spread: list[tuple[Step | None, int]] = []
    left = volume
    for step in reversed(reached):
        spread.append((step, left - step.above))
        left = step.above
    return [*spread, (None, left)]


def _at_rates(rates: Rates, usage: Usage) -> int:
    """All tokens at fixed rates, in nano-USD × TOKENS_PER_PRICE."""
    named = {str(name): nano for name, nano in rates.items()}
    price = Price(id=0, model="", **named)  # type: ignore[arg-type]
    return token_sum(input_parts(usage, price)) + token_sum(output_parts(usage, price))


def _sum_of(usages: Sequence[Usage]) -> Usage:
    fields = Usage.__struct_fields__
    return Usage(**{name: sum(getattr(usage, name) for usage in usages) for name in fields})
