from __future__ import annotations

import pytest

from tests import factories

pytestmark = pytest.mark.django_db

MAKERS = sorted(
    set(name for name in factories.__all__ if name.startswith("make_"))
    - {"make_document", "make_world"}
)


@pytest.mark.parametrize("name", MAKERS)
def test_every_factory_makes_one_row_after_another_without_being_told_anything(name):
    rows = [getattr(factories, name)() for _ in range(2)]
    if name == "make_key":
        rows = [issued.key for issued in rows]
    assert rows[0].pk is not None
    assert rows[0].pk != rows[1].pk


def test_a_world_is_connected():
    world = factories.make_world()
    assert world.alias.targets.get().deployment == world.deployment
    assert list(world.client.aliases.all()) == [world.alias]
    assert world.price.book == world.tier.price_book
    assert world.token.startswith("cv_")
