"""Money: integer nano-USD inside, Decimal at the edges, never float.

Prices are nano-USD per 1,000,000 tokens, so that USD per 1 M tokens × 10⁹ is exact.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

NANO_PER_USD = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000
MAX_NANO_USD = 2**63 - 1


def nano_from_usd(amount: Decimal | str | int) -> int:
    """USD as whole nano-USD.

    Raises ValueError for what is not finite, is finer than a nano-USD or passes 64 bits.
    """
    if isinstance(amount, float):
        raise ValueError("money is never a float: write it as text or Decimal")
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise ValueError(f"{amount!r} is not an amount of money") from None
    if not value.is_finite():
        raise ValueError("an amount of money is a finite number")
    nano = value * NANO_PER_USD
    if abs(nano) > MAX_NANO_USD:
        raise ValueError("the amount is larger than ChatVault can book (9.2 billion USD)")
    if nano != int(nano):
        raise ValueError("the amount is finer than a nano-USD (9 decimal places)")
    return int(nano)


def usd_from_nano(nano: int) -> Decimal:
    """Whole nano-USD as an exact Decimal of USD."""
    return Decimal(nano).scaleb(-9)


def divide_half_up(numerator: int, denominator: int) -> int:
    """Integer division rounded half away from zero; the denominator is positive."""
    sign = -1 if numerator < 0 else 1
    return sign * ((2 * abs(numerator) + denominator) // (2 * denominator))


def places_of(nanos: Iterable[int | None]) -> int:
    """How many places show all of these exactly: a column with as many is easy to compare."""
    texts = [f"{usd_from_nano(nano):.9f}".rstrip("0") for nano in nanos if nano is not None]
    return max([2, *(len(text.partition(".")[2]) for text in texts)])


def format_usd(nano: int, places: int | None = None) -> str:
    """`$1.25` for people: at least two places, by default as many as the amount needs."""
    value = usd_from_nano(nano)
    if places is not None:
        value = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
        return f"{'-' if value < 0 else ''}${abs(value):,.{places}f}"
    text = f"{abs(value):,.9f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{'-' if nano < 0 else ''}${whole}.{fraction.ljust(2, '0')}"
