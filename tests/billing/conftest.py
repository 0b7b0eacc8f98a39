from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.billing.limits_clocked import ClockedLimits


@pytest.fixture(params=["local", "valkey", "redis"])
async def clocked(request: pytest.FixtureRequest) -> AsyncIterator[ClockedLimits]:
    """Limits of each back end: all promise the same."""
    made = ClockedLimits()
    if request.param == "local":
        yield made
        return
    world = await made.through(request.getfixturevalue(f"{request.param}_url"))
    yield made
    await world.stop()
