"""Every test here runs on asyncio's own loop and on uvloop, which is what production runs on."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from apps.providers.upstream import Caps, UpstreamPool
from chatvault.lib.http_guard import AddressGuard
from tests.providers.upstream.certificates import Certificates
from tests.providers.upstream.server import LOCAL, Server


def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def pool() -> AsyncIterator[UpstreamPool]:
    pool = UpstreamPool(AddressGuard(LOCAL))
    yield pool
    await pool.close()


@pytest.fixture
async def small_pool() -> AsyncIterator[UpstreamPool]:
    """Caps that a test can reach: 4 KiB of head, 100 kB of body, 50 kB unpacked."""
    caps = Caps(header_bytes=4096, body_bytes=100_000, decompressed_bytes=50_000)
    pool = UpstreamPool(AddressGuard(LOCAL), caps=caps)
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(Path(tmp_path_factory.mktemp("tls")))


@pytest.fixture
def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.authority)
