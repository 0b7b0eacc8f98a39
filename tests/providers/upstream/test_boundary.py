"""What the transport connects to: the guard's word, TLS, the proxy."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from apps.providers.upstream import Deadlines, UpstreamPool, UpstreamRequest
from chatvault.lib.errors import UpstreamConnectFailed, UpstreamForbidden, UpstreamTimedOut
from chatvault.lib.http_guard import AddressGuard
from tests.providers.upstream.certificates import Certificates
from tests.providers.upstream.server import LOCAL, PATIENT, Server, full_backlog
from tests.providers.upstream.test_guard import CORPUS


def get(url: str) -> UpstreamRequest:
    return UpstreamRequest("GET", url, (("authorization", "Bearer sk-canary"),), b"")


async def loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def pooled(guard: AddressGuard, **options: object) -> AsyncIterator[UpstreamPool]:
    pool = UpstreamPool(guard, **options)
    yield pool
    await pool.close()


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that a connection is attempted to; none is made."""
    from apps.providers.upstream.dial import Dialer

    attempted: list[str] = []

    async def attempt(self, target, addresses, new, deadline):
        attempted.extend(address.ip for address in addresses)
        raise UpstreamConnectFailed

    monkeypatch.setattr(Dialer, "_directly", attempt)
    return attempted


async def test_nothing_is_connected_to_over_the_whole_corpus(connects: list[str]) -> None:
    async with pooled(AddressGuard(lookup=loopback)) as pool:
        for url in CORPUS:
            with pytest.raises(UpstreamForbidden):
                await pool.send(get(url), PATIENT)
        with pytest.raises(UpstreamConnectFailed):
            await pool.send(get("https://8.8.8.8/"), PATIENT)
    assert connects == ["8.8.8.8"]


async def test_a_rebinding_name_reaches_nothing(
    connects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatvault.lib.http_guard.CACHE_S", 0.0)
    answers = [["93.184.215.14"], ["127.0.0.1"], ["93.184.215.14", "10.0.0.1"]]

    async def lookup(host: str, port: int) -> list[str]:
        return answers.pop(0)

    async with pooled(AddressGuard(lookup=lookup)) as pool:
        with pytest.raises(UpstreamConnectFailed):
            await pool.send(get("http://rebind.test/"), PATIENT)
        for _ in range(2):
            with pytest.raises(UpstreamForbidden):
                await pool.send(get("http://rebind.test/"), PATIENT)
    assert connects == ["93.184.215.14"]


async def test_the_host_header_is_the_name_and_the_address_is_the_judged_one(
    server: Server,
) -> None:
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with pooled(AddressGuard(LOCAL, lookup=lookup)) as pool:
        for host in ("provider.test", "Provider.TEST."):
            await (await pool.send(get(server.url("/", host)), PATIENT)).read()
        assert pool.stats().open == 1
    assert asked == ["provider.test"]
    assert {seen.headers["host"] for seen in server.seen} == {f"provider.test:{server.port}"}


async def test_addresses_are_tried_in_turn(server: Server) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "::1", "127.0.0.1"]

    async with pooled(AddressGuard(LOCAL, lookup=lookup)) as pool:
        response = await pool.send(get(server.url("/", "provider.test")), PATIENT)
        assert await response.read() == b"ok"


async def test_a_silent_address_does_not_use_up_the_time_of_the_next(server: Server) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    with full_backlog("127.0.0.2", server.port):
        async with pooled(AddressGuard(LOCAL, lookup=lookup)) as pool:
            request = get(server.url("/", "provider.test"))
            response = await pool.send(request, Deadlines(0.6, 5, 5, 5))
            assert await response.read() == b"ok"


async def test_a_refused_connection_says_so_without_secrets(server: Server) -> None:
    await server.stop()
    async with pooled(AddressGuard(LOCAL)) as pool:
        with pytest.raises(UpstreamConnectFailed) as caught:
            await pool.send(get(server.url("/?secret=1")), PATIENT)
    assert str(caught.value) == "The provider could not be reached (ConnectionRefusedError)."
    await server.start()


@pytest.fixture
async def secure(certificates: Certificates) -> AsyncIterator[Server]:
    server = Server()
    await server.start(certificates.server_context("provider.test"))
    yield server
    await server.stop()


def secure_url(server: Server, host: str = "provider.test") -> str:
    return f"https://{host}:{server.port}/v1"


async def test_tls_with_the_original_name(secure: Server, trusting: ssl.SSLContext) -> None:
    async with pooled(AddressGuard(LOCAL, lookup=loopback), ssl_context=trusting) as pool:
        for _ in range(3):
            assert await (await pool.send(get(secure_url(secure)), PATIENT)).read() == b"ok"
    assert secure.connections == 1


async def test_tls_of_somebody_else_is_refused(
    secure: Server, trusting: ssl.SSLContext, certificates: Certificates
) -> None:
    guard = AddressGuard(LOCAL, lookup=loopback)
    async with pooled(guard, ssl_context=trusting) as pool:
        with pytest.raises(UpstreamConnectFailed, match="TLS"):
            await pool.send(get(secure_url(secure, "localhost")), PATIENT)
    async with pooled(guard) as pool:  # the system's roots do not know the tests' authority
        with pytest.raises(UpstreamConnectFailed, match="TLS"):
            await pool.send(get(secure_url(secure)), PATIENT)
    assert secure.seen == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_refused(certificates: Certificates, trusting: ssl.SSLContext) -> None:
    """Also when the context that was given, and the server, would both agree to it."""
    trusting.set_ciphers("ALL:@SECLEVEL=0")
    trusting.minimum_version = ssl.TLSVersion.TLSv1
    old = certificates.server_context("provider.test")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    server = Server()
    await server.start(old)
    async with pooled(AddressGuard(LOCAL, lookup=loopback), ssl_context=trusting) as pool:
        with pytest.raises(UpstreamConnectFailed):
            await pool.send(get(secure_url(server)), PATIENT)
    assert server.seen == []
    await server.stop()


@pytest.mark.parametrize("weakness", ["verify_mode", "check_hostname"])
def test_a_context_that_does_not_verify_is_refused(weakness: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    if weakness == "verify_mode":
        context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="verify"):
        UpstreamPool(AddressGuard(), ssl_context=context)


async def test_a_handshake_that_stalls_meets_the_connect_deadline(
    trusting: ssl.SSLContext,
) -> None:
    mute = await asyncio.start_server(stay_mute, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    async with pooled(AddressGuard(LOCAL), ssl_context=trusting) as pool:
        with pytest.raises(UpstreamTimedOut) as caught:
            await pool.send(get(f"https://127.0.0.1:{port}/"), Deadlines(0.2, 5, 5, 5))
    assert caught.value.phase == "connect"
    mute.close()


async def stay_mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65536):
        pass
    writer.close()


class ProxyServer:
    """CONNECT only: pipes to `to`, or answers with `status`."""

    def __init__(self, to: int, status: bytes = b"200 Connection established") -> None:
        self._to = to
        self._status = status
        self.heads: list[bytes] = []

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 " + self._status + b"\r\nvia: test\r\n\r\n")
        if not self._status.startswith(b"200"):
            await stay_mute(reader, writer)
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    writer.close()


async def test_https_goes_through_the_proxy(secure: Server, trusting: ssl.SSLContext) -> None:
    proxy = ProxyServer(secure.port)
    place = await proxy.start()
    guard = AddressGuard(LOCAL, lookup=loopback)
    options = {"proxy": f"http://me:s%40fe@{place}", "ssl_context": trusting}
    async with pooled(guard, **options) as pool:
        for _ in range(2):
            assert await (await pool.send(get(secure_url(secure)), PATIENT)).read() == b"ok"
        assert "s@fe" not in repr(pool._dialer._proxy)
    credentials = base64.b64encode(b"me:s@fe")
    assert proxy.heads == [
        b"CONNECT provider.test:%d HTTP/1.1\r\nhost: provider.test:%d\r\n"
        b"proxy-authorization: Basic %b\r\n\r\n" % (secure.port, secure.port, credentials)
    ]
    assert "proxy-authorization" not in secure.seen[0].headers
    proxy.stop()


@pytest.mark.parametrize("status", [b"403 Forbidden", b"407 Auth", b"502 Bad", b"xx", b"2"])
async def test_a_proxy_that_refuses(
    secure: Server, trusting: ssl.SSLContext, status: bytes
) -> None:
    proxy = ProxyServer(secure.port, status)
    guard = AddressGuard(LOCAL, lookup=loopback)
    async with pooled(guard, proxy=await proxy.start(), ssl_context=trusting) as pool:
        with pytest.raises(UpstreamConnectFailed, match="proxy"):
            await pool.send(get(secure_url(secure)), PATIENT)
        assert pool.stats().open == 0
    assert secure.connections == 0
    proxy.stop()


async def test_the_guard_judges_before_the_proxy_is_asked(trusting: ssl.SSLContext) -> None:
    proxy = ProxyServer(1)
    guard = AddressGuard(lookup=loopback)
    async with pooled(guard, proxy=await proxy.start(), ssl_context=trusting) as pool:
        for url in ("https://rebound.test/", "https://169.254.169.254/", "https://a.test:22/"):
            with pytest.raises(UpstreamForbidden):
                await pool.send(get(url), PATIENT)
    assert proxy.heads == []
    proxy.stop()


async def test_a_proxy_that_stalls_meets_the_connect_deadline(trusting: ssl.SSLContext) -> None:
    mute = await asyncio.start_server(stay_mute, "127.0.0.1", 0)
    place = f"127.0.0.1:{mute.sockets[0].getsockname()[1]}"
    guard = AddressGuard(LOCAL, lookup=loopback)
    async with pooled(guard, proxy=place, ssl_context=trusting) as pool:
        with pytest.raises(UpstreamTimedOut):
            await pool.send(get("https://provider.test/"), Deadlines(0.2, 5, 5, 5))
    mute.close()


async def test_a_listed_host_need_not_resolve_behind_a_proxy(
    secure: Server, trusting: ssl.SSLContext
) -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise OSError

    proxy = ProxyServer(secure.port)
    guard = AddressGuard(LOCAL, lookup=unknown)
    async with pooled(guard, proxy=await proxy.start(), ssl_context=trusting) as pool:
        assert (await pool.send(get(secure_url(secure)), PATIENT)).status == 200
        with pytest.raises(UpstreamConnectFailed):
            await pool.send(get("https://unlisted.test/"), PATIENT)
    assert len(proxy.heads) == 1
    proxy.stop()


@pytest.mark.parametrize(
    ("no_proxy", "is_direct"),
    [
        ("provider.test", True), ("PROVIDER.test", True), (".test", True), ("*.test", True),
        ("test", True), ("*", True), ("ovider.test", False), ("other.test", False),
        ("provider.test:{port}", True), ("provider.test:1", False), ("", False),
    ],
)  # fmt: skip
async def test_no_proxy(
    secure: Server, trusting: ssl.SSLContext, no_proxy: str, is_direct: bool
) -> None:
    proxy = ProxyServer(secure.port)
    async with pooled(
        AddressGuard(LOCAL, lookup=loopback),
        proxy=await proxy.start(),
        no_proxy=(no_proxy.replace("{port}", str(secure.port)),),
        ssl_context=trusting,
    ) as pool:
        assert (await pool.send(get(secure_url(secure)), PATIENT)).status == 200
    assert len(proxy.heads) == (0 if is_direct else 1)
    proxy.stop()


async def test_plain_http_does_not_use_the_https_proxy(server: Server) -> None:
    async with pooled(AddressGuard(LOCAL), proxy="127.0.0.1:1") as pool:
        assert (await pool.send(server.request(), PATIENT)).status == 200


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "http://"])
def test_a_proxy_that_cannot_be_used_is_refused_at_start(proxy: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY"):
        UpstreamPool(AddressGuard(), proxy=proxy)
