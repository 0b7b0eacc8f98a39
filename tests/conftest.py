"""Fixtures that many folders need; what only one needs lives in that folder's conftest."""

from collections.abc import Iterator

import pytest

from tests.fakes.faultproxy import FaultProxy
from tests.fakes.upstream import FakeUpstream
from tests.servers.postgres import postgres_server, postgres_url
from tests.servers.valkey import valkey_server, valkey_url

__all__ = ["postgres_server", "postgres_url", "valkey_server", "valkey_url"]


@pytest.fixture(scope="session")
def _upstream_server() -> Iterator[FakeUpstream]:
    fake = FakeUpstream().start()
    yield fake
    fake.stop()


@pytest.fixture
def upstream(_upstream_server: FakeUpstream) -> Iterator[FakeUpstream]:
    """A fake provider with nothing scripted and nothing seen."""
    _upstream_server.reset()
    yield _upstream_server
    problems = list(_upstream_server.oracle.problems)
    _upstream_server.reset()
    assert problems == []


@pytest.fixture
def faultproxy() -> Iterator[type[FaultProxy]]:
    """Makes proxies: `faultproxy.to(host, port)`; all of them end with the test."""
    yield FaultProxy
    FaultProxy.stop_all()
