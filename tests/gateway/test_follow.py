"""A change is adopted whole; a control plane that is away changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest

from apps.gateway.plane import PlaneOptions, View
from apps.gateway.snapshot.follow import Follower, SnapshotRefused
from apps.gateway.snapshot.model import Deployment, Snapshot


class Announced(NamedTuple):
    topic: str
    subject: str = ""


class ControlPlane:
    def __init__(self) -> None:
        self.news: list[Announced] = []
        self.version = 1
        self.built = 0
        self.is_away = False
        self.deployments: dict[int, Deployment] = {}
        self.unusable: frozenset[int] = frozenset()

    async def since(self, last_id: int) -> tuple[int, Sequence[Announced]]:
        if self.is_away:
            raise ConnectionError("away")
        return len(self.news), self.news[last_id:]

    async def snapshot(self) -> Snapshot:
        self.built += 1
        return Snapshot(self.version, 0.0, deployments=self.deployments, unusable=self.unusable)


class Keys:
    def __init__(self) -> None:
        self.dropped: list[str] = []
        self.expired = 0

    def drop(self, digest: str) -> None:
        self.dropped.append(digest)

    def drop_holder(self, holder: str) -> None:
        self.dropped.append(holder)

    def expire(self) -> None:
        self.expired += 1


class Plane:
    def __init__(self) -> None:
        self.keys = Keys()
        self.adopted: list[int] = []
        self.view = _view(Snapshot(0, 0.0))

    def adopt(self, view: View) -> None:
        self.view = view
        self.adopted.append(view.snapshot.version)


def _view(snapshot: Snapshot) -> View:
    return View(snapshot, {}, PlaneOptions(pepper=b"p"))


class Bench:
    def __init__(self) -> None:
        self.source, self.plane = ControlPlane(), Plane()
        self.prepared: list[int] = []
        self.follower = Follower(
            self.plane,  # type: ignore[arg-type]
            self.source,
            last_id=0,
            interval_s=0.01,
            make_view=_view,
            adopted=self.prepare,
        )

    async def prepare(self, snapshot: Snapshot) -> None:
        self.prepared.append(snapshot.version)


async def test_an_announced_holder_is_forgotten_without_a_new_snapshot() -> None:
    bench = Bench()
    bench.source.news = [Announced("accounts.holder", "user:3")]
    await bench.follower.look()
    assert bench.plane.keys.dropped == ["user:3"]
    assert bench.source.built == 0


async def test_a_revision_is_prepared_and_adopted_once() -> None:
    bench = Bench()
    bench.source.news = [Announced("configuration.revision"), Announced("configuration.revision")]
    bench.source.version = 5
    await bench.follower.look()
    await bench.follower.look()
    assert bench.prepared == [5]
    assert bench.plane.adopted == [5]
    assert bench.source.built == 1


async def test_a_changed_key_is_dropped_without_a_new_snapshot() -> None:
    bench = Bench()
    bench.source.news = [Announced("accounts.key", "abc")]
    await bench.follower.look()
    assert bench.plane.keys.dropped == ["abc"]
    assert bench.plane.adopted == []


async def test_what_could_not_be_adopted_is_tried_again() -> None:
    bench = Bench()
    bench.source.news = [Announced("configuration.revision")]
    bench.source.is_away = True
    with pytest.raises(ConnectionError):
        await bench.follower.look()
    assert bench.plane.adopted == []
    bench.source.is_away = False
    await bench.follower.look()
    assert bench.plane.adopted == [1]


async def test_garbage_in_place_of_what_serves_is_not_adopted_until_it_makes_sense() -> None:
    bench = Bench()
    served = Deployment(7, "d", "p", "openai", "http://p", "m", {}, "", 0, "http://p:80")
    bench.source.deployments = {7: served}
    bench.source.news = [Announced("configuration.revision")]
    await bench.follower.look()
    bench.source.version, bench.source.deployments = 2, {}
    bench.source.unusable = frozenset({7})
    bench.source.news.append(Announced("accounts.key", "abc"))
    bench.source.news.append(Announced("configuration.revision"))
    with pytest.raises(SnapshotRefused):
        await bench.follower.look()
    assert bench.plane.adopted == [1]
    assert bench.plane.keys.dropped == ["abc"]
    bench.source.deployments, bench.source.unusable = {7: served}, frozenset()
    await bench.follower.look()
    assert bench.plane.adopted == [1, 2]


async def test_what_made_no_sense_from_the_beginning_keeps_nothing_else_back() -> None:
    bench = Bench()
    bench.source.unusable = frozenset({7})
    bench.source.news = [Announced("configuration.revision")]
    await bench.follower.look()
    assert bench.plane.adopted == [1]
