"""Requests that were refused: nothing of them is written, but the gateway's process remembers the
latest. Who refuses registers here, the admin's pages ask; no ORM."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """One refused request of a known key. `alias` and `message` are cut where they are long."""

    at_s: float  # seconds since the epoch
    client_id: int
    key_id: int
    alias: str  # as the caller wrote it; empty where none was asked for
    status: int
    code: str
    message: str
    count: int = 1  # so many of the same client, key, model and code


class Report(msgspec.Struct, frozen=True):
    """What one process refused since `since_s`: the latest, newest first, and all, counted by
    client and code. Client 0 are callers without a known key, who are only counted."""

    since_s: float
    latest: tuple[Refusal, ...]
    counts: Mapping[tuple[int, str], int]

    def of(self, clients: Collection[int]) -> Report:
        """What of it concerns these clients."""
        return Report(
            since_s=self.since_s,
            latest=tuple(one for one in self.latest if one.client_id in clients),
            counts={each: n for each, n in self.counts.items() if each[0] in clients},
        )

    def by_code(self) -> list[tuple[str, int]]:
        """All refusals by code, the most frequent first."""
        sums: dict[str, int] = {}
        for (_, code), count in self.counts.items():
            sums[code] = sums.get(code, 0) + count
        return sorted(sums.items(), key=lambda item: (-item[1], item[0]))

    def by_client_and_code(self) -> list[tuple[int, str, int]]:
        """The same with the client, the most frequent first."""
        rows = [(client, code, count) for (client, code), count in self.counts.items()]
        return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))


Source = Callable[[], Report]


class _Known:
    """One instance, below: who can be asked in this process."""

    source: Source | None = None


_known = _Known()


def register(source: Source | None) -> None:
    """Ask `source` from now on; None: nobody knows any more."""
    _known.source = source


def report() -> Report | None:
    """What was refused; None, which is not 0, where the gateway is not in this process."""
    source = _known.source
    return source() if source is not None else None
