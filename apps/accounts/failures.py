"""Callers whose credentials are refused again and again are refused before anything is hashed or
asked (promise S22). Of one process, in memory of a fixed size.

Ask `wait_s` only where a credential is not known to be good already: a good one never waits for
its neighbours behind the same address.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from chatvault.lib import clock
from chatvault.lib.addresses import counted_as
from chatvault.lib.errors import TooManyAttempts

MOST_KNOWN: Final = 50_000
PREFIX_BYTES: Final = 11  # `cv_` and eight digits: guesses at the rest of one key
_OURS: Final = (b"cv_", b"cvo_", b"cvr_")


class Pace:
    """At most `count` in a burst and `count` in every `period_s` from then on (GCRA: one number a
    subject, the time at which it would be as if it had never failed)."""

    __slots__ = ("_burst_s", "_clear_at", "_each_s")

    def __init__(self, count: int, period_s: float) -> None:
        self._each_s = period_s / count
        self._burst_s = period_s - self._each_s / 2  # half a step, so that rounding does not count
        self._clear_at: OrderedDict[str | bytes, float] = OrderedDict()

    def wait_s(self, subject: str | bytes, now: float) -> float:
        """How long until it may fail again; 0.0: it may now."""
        clear_at = self._clear_at.get(subject)
        if clear_at is None:
            return 0.0
        return max(clear_at - now - self._burst_s, 0.0)

    def note(self, subject: str | bytes, now: float) -> None:
        known = self._clear_at
        known[subject] = max(known.get(subject, now), now) + self._each_s
        known.move_to_end(subject)
        while known:  # what is clear is forgotten, and what is oldest when there are too many
            oldest, clear_at = next(iter(known.items()))
            if clear_at > now and len(known) <= MOST_KNOWN:
                return
            del known[oldest]

    def __len__(self) -> int:
        return len(self._clear_at)


class Failures:
    """Failures by address (of IPv6: by /64) and by the beginning of the credential, where that is
    random: all JWTs begin alike, and so may keys of other gateways.

    None for a pace: as many as come.
    """

    def __init__(self, by_address: Pace | None, by_prefix: Pace | None) -> None:
        self._by_address, self._by_prefix = by_address, by_prefix
        self.refused = 0  # since the start, for metrics

    def check(self, address: str, credential: bytes) -> None:
        """Raises TooManyAttempts (429). `address` is "" where there is none."""
        now = clock.monotonic()
        wait_s = 0.0
        if self._by_address is not None and address:
            wait_s = self._by_address.wait_s(counted_as(address), now)
        if self._by_prefix is not None and not wait_s and credential.startswith(_OURS):
            wait_s = self._by_prefix.wait_s(credential[:PREFIX_BYTES], now)
        if wait_s:
            self.refused += 1
            wait_ms = int(wait_s * 1000) + 1
            raise TooManyAttempts(
                "Too many requests with credentials that are not valid.",
                headers={"retry-after": str(-(-wait_ms // 1000)), "retry-after-ms": str(wait_ms)},
            )

    def note(self, address: str, credential: bytes) -> None:
        """This credential was refused."""
        now = clock.monotonic()
        if self._by_address is not None and address:
            self._by_address.note(counted_as(address), now)
        if self._by_prefix is not None and credential.startswith(_OURS):
            self._by_prefix.note(credential[:PREFIX_BYTES], now)


def failures_of(by_address: tuple[int, int] | None, by_prefix: tuple[int, int] | None) -> Failures:
    """As the settings say: (count, seconds), or None."""
    return Failures(
        Pace(*by_address) if by_address is not None else None,
        Pace(*by_prefix) if by_prefix is not None else None,
    )
