"""The words of a price. What is built here is frozen and has been checked."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

import msgspec

from chatvault.lib.money import MAX_NANO_USD

MAX_TOKENS: Final = 2**40
PPM: Final = 1_000_000
MAX_FACTOR_PPM: Final = 1_000 * PPM
MINUTES_A_DAY: Final = 1_440

RateName = Literal[
    "input",
    "output",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "per_request",
    "per_second",
    "per_image",
    "per_search",
]
RATE_NAMES: Final[tuple[str, ...]] = get_args(RateName)
INPUT_RATES: Final = frozenset(
    ("input", "cached_input", "cache_write", "cache_write_1h", "audio_input", "image_input")
)
OUTPUT_RATES: Final = frozenset(("output", "reasoning", "audio_output", "image_output"))
UNIT_RATES: Final = frozenset(("per_request", "per_second", "per_image", "per_search"))

Nano = Annotated[int, msgspec.Meta(ge=0, le=MAX_NANO_USD)]
Factor = Annotated[int, msgspec.Meta(ge=0, le=MAX_FACTOR_PPM)]
Tokens = Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKENS)]
Minute = Annotated[int, msgspec.Meta(ge=0, lt=MINUTES_A_DAY)]
TierName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,31}$")]
Rates = dict[RateName, Nano]
"""Rates that differ, by name. What is not named stays as it is without the condition."""


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rates of a whole request whose prompt is longer than `above` tokens."""

    above: Tokens
    rates: Rates

    def __post_init__(self) -> None:
        if not self.rates:
            raise ValueError(f"The band above {self.above} tokens has no rates.")


class ServiceTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a named way of being served costs: its own rates, or a factor on all token rates."""

    factor_ppm: Factor = PPM
    rates: Rates = {}
    bands: tuple[Band, ...] = ()

    def __post_init__(self) -> None:
        _check_bands(self.bands)


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of every day in UTC, from minute `start` until before minute `end`, also over
    midnight. It counts for a request that was admitted within it."""

    start: Minute
    end: Minute
    factor_ppm: Factor = PPM
    rates: Rates = {}

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError("A window begins and ends at the same minute.")

    def holds(self, minute: int) -> bool:
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


class Conditions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When other rates hold than the price's own. They are put on in this order: the band, the
    service tier, its own band, the window; factors multiply."""

    bands: tuple[Band, ...] = ()
    service_tiers: dict[TierName, ServiceTier] = {}
    windows: tuple[Window, ...] = ()

    def __post_init__(self) -> None:
        _check_bands(self.bands)
        for minute in range(MINUTES_A_DAY) if len(self.windows) > 1 else ():
            if sum(window.holds(minute) for window in self.windows) > 1:
                at = f"{minute // 60:02}:{minute % 60:02}"
                raise ValueError(f"Two windows of the day overlap at {at} UTC.")


class Price(msgspec.Struct, frozen=True):
    """One price version. Token rates are nano-USD per 1,000,000 tokens and never negative.

    None means: `cached_input`, `cache_write`, `audio_input` and `image_input` as `input`,
    `cache_write_1h` as `cache_write`, `reasoning`, `audio_output` and `image_output` as `output`.
    The rates `per_…` are nano-USD each.
    """

    id: int
    model: str
    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    per_request: int = 0
    valid_from_s: int = 0  # seconds since the epoch; half-open
    valid_to_s: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    per_second: int = 0
    per_image: int = 0
    per_search: int = 0
    conditions: Conditions | None = None
    deployment_id: int | None = None  # None: whatever deployment serves the model


class Terms(msgspec.Struct, frozen=True):
    """What a pricing tier makes of the cost: a mark-up in parts per million, from -1,000,000 up;
    or for some models a fixed price instead; and the least that a billed request is charged."""

    tier_id: int = 0
    markup_ppm: int = 0
    terms_id: int = 0  # the version of the tier
    minimum_nano: int = 0
    overrides: dict[str, Price] = {}  # by the provider's name of the model


class Bill(msgspec.Struct, frozen=True):
    """Nano-USD, each within [0, MAX_NANO_USD]: by the price, and by the client's terms."""

    cost_nano: int
    charged_nano: int


def _check_bands(bands: tuple[Band, ...]) -> None:
    starts = [band.above for band in bands]
    if starts != sorted(set(starts)):
        raise ValueError("Bands are given in ascending order, each limit once.")
