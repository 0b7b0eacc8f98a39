"""Segments are kept after they are in the database, for a database that was restored."""

import os
import stat
import time
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.db import transaction

from apps.usage import shipped
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import end, intent, settle, start


@pytest.fixture
def kept(monkeypatch):
    """Keep them for a day; the cap is a few bytes, so that no disk is too full."""
    values = {"keep_shipped_h": 24.0, "cap_mib": 1}
    section = settings.CHATVAULT.journal.model_copy(update=values)
    sections = SimpleNamespace(CHATVAULT=SimpleNamespace(journal=section))
    monkeypatch.setattr(shipped, "settings", sections)


def _whole():
    one = uuid7_bytes()
    return [intent(one), start(one), end(one), settle(one)]


def _names(world):
    return sorted(path.name for path in (world.folder / "shipped").glob("*"))


def test_by_default_nothing_is_kept(world):
    world.write_dead(*_whole())
    world.ingest()
    assert world.segments() == _names(world) == []


def test_what_is_shipped_is_kept_for_its_owner_alone(world, kept):
    path = world.write_dead(*_whole())
    world.ingest()
    assert (world.segments(), _names(world)) == ([], [path.name])
    assert stat.S_IMODE((world.folder / "shipped").stat().st_mode) == 0o700


def test_an_older_database_is_brought_up_to_date(world, kept):
    """It knows the first segment, half of the second and nothing of the third."""
    world.write_dead(*_whole())
    world.ingest()
    backup = transaction.savepoint()
    for _ in range(2):
        world.write_dead(*_whole())
        world.ingest()
    wanted = {one: world.entries(one) for one in world.requests()}
    assert len(wanted) == 3
    transaction.savepoint_rollback(backup)
    assert len(world.requests()) == 1

    assert shipped.bring_back(world.folder) == 3
    assert world.ingest() == 2
    assert {one: world.entries(one) for one in world.requests()} == wanted
    assert world.rollup_requests() == 3
    assert world.is_balanced()
    assert len(_names(world)) == 3


def test_shipping_again_what_is_known_changes_nothing(world, kept):
    world.write_dead(*_whole())
    world.ingest()
    before = {one: world.entries(one) for one in world.requests()}
    shipped.bring_back(world.folder)
    assert world.ingest() == 0
    assert {one: world.entries(one) for one in world.requests()} == before
    assert world.is_balanced()


def test_the_old_are_forgotten(world, kept):
    old = world.write_dead(*_whole())
    world.ingest()
    day_ago = time.time() - 24 * 3600 - 5
    os.utime(world.folder / "shipped" / old.name, (day_ago, day_ago))
    new = world.write_dead(*_whole())
    world.ingest()
    assert _names(world) == [new.name]


def test_a_full_disk_goes_to_the_journal(world, kept, monkeypatch):
    full = SimpleNamespace(f_bavail=1, f_frsize=4096)
    monkeypatch.setattr(shipped.os, "statvfs", lambda _: full)
    world.write_dead(*_whole())
    assert world.ingest() == 1
    assert (world.segments(), _names(world)) == ([], [])
