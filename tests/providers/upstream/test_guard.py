"""The guard: which URLs may make us connect, and to what."""

import ipaddress
import socket

import pytest

from chatvault.lib.errors import UpstreamConnectFailed, UpstreamForbidden
from chatvault.lib.http_guard import AddressGuard, normalise_host, parse_target

PRIVATE_V4 = (
    "127.0.0.1", "127.8.9.10", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.100.100.200", "0.0.0.0", "0.1.2.3", "192.0.0.192", "198.18.0.1",
    "192.0.2.7", "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16",
)  # fmt: skip
PRIVATE_V6 = (
    "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1",
    "100::1", "2001:db8::1", "2001::1", "2001:10::1", "3fff::1", "4000::1", "5f00::1",
    "64:ff9b:1::a00:1", "64:ff9b:1::808:808",
)  # fmt: skip
URLS_NOT_UNDERSTOOD = (
    "", "127.0.0.1", "//127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "ftp://a.test/",
    "http:/127.0.0.1/", "http://", "http:///x", "https://user@api.test/", "https://u:p@api.test/",
    "https://api.test@127.0.0.1/", "https://api.test\\@127.0.0.1/", "https://127.0.0.1\\.api.test/",
    "https://api.test/\\..", "https:\\\\api.test/", "https://api test/", " https://api.test/",
    "https://api.test/a b", "https://api.test/\r\nhost: evil", "https://api.test\n/",
    "https://api.test\t/", "https://api.test:0/", "https://api.test:65536/", "https://api.test:x/",
    "https://api.test:01234567/",
    "https://api.test:-1/", "https://api.test:443:443/", "https://api.test:４４３/",
    "https://%31%32%37.0.0.1/", "https://api%2etest/", "https://api..test/", "https://.api.test/",
    "https://api.test../", "https://-api.test/", "https://api-.test/", "https://[::1/",
    "https://::1/", "https://[::1]x/", "https://[fe80::1%25eth0]/", "https://[fe80::1%eth0]/",
    "https://[127.0.0.1]/", "https://[]/", "https://127.0.0.1.1/", "https://256.256.256.256/",
    "https://0x/", "https://127.0.0.0x/", "https://08.0.0.1/", "https://99999999999/",
    "https://1.2.3.4.5/", "https://a.0x7f/", "https://api.test\x00.evil/", "https://a*b.test/",
    "https://" + "a" * 64 + ".test/", "https://" + "a." * 127 + "test/", "https://xn--a b/",
)  # fmt: skip


def spellings(dotted: str) -> list[str]:
    """The same IPv4 address as a host in every way that somebody's parser accepts."""
    number = int(ipaddress.IPv4Address(dotted))
    a, b, c, d = ipaddress.IPv4Address(dotted).packed
    low24, low16 = number & 0xFFFFFF, number & 0xFFFF
    mapped = f"::ffff:{number >> 16:x}:{low16:x}"
    inverted = number ^ 0xFFFFFFFF
    return [
        dotted, dotted + ".", str(number), f"0x{number:x}", f"0X{number:X}", f"0{number:o}",
        f"{a}.{low24}", f"{a}.{b}.{low16}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"000{a:o}.0{b:o}.{c}.0x{d:x}", f"0x{a:x}.{low24}",
        dotted.translate({ord(str(n)): chr(0xFF10 + n) for n in range(10)}),
        dotted.replace(".", "。"), dotted.replace(".", "．"), dotted.replace(".", "｡"),
        f"[{mapped}]", f"[::ffff:{dotted}]", f"[0:0:0:0:0:ffff:{dotted}]", f"[::{dotted}]",
        f"[64:ff9b::{dotted}]", f"[64:ff9b::{number >> 16:x}:{low16:x}]",
        f"[2002:{number >> 16:x}:{low16:x}::1]",
        f"[2001:0:808:808:0:0:{inverted >> 16:x}:{inverted & 0xFFFF:x}]",
    ]  # fmt: skip


CORPUS = [
    *(f"{scheme}://{host}/v1" for ip in PRIVATE_V4 for host in spellings(ip)
      for scheme in ("http", "https")),
    *(f"https://[{ip}]/v1" for ip in PRIVATE_V6),
    *URLS_NOT_UNDERSTOOD,
]  # fmt: skip


async def nobody(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


async def judge(guard: AddressGuard, url: str) -> list[str]:
    target = parse_target(url)
    found = await guard.resolve(target.host, target.port, scheme=target.scheme)
    return [address.ip for address in found]


async def test_no_spelling_of_a_private_address_passes() -> None:
    guard = AddressGuard(lookup=nobody)
    passed = []
    for url in CORPUS:
        try:
            passed.append((url, await judge(guard, url)))
        except UpstreamForbidden:
            continue
    assert len(CORPUS) >= 800
    assert passed == []


async def test_spellings_of_a_public_address_are_understood_not_just_refused() -> None:
    guard = AddressGuard(lookup=nobody)
    tunnelled = 3  # IPv4-compatible, 6to4, Teredo: refused whatever they carry
    understood = 0
    for host in spellings("8.8.4.4"):
        try:
            [ip] = await judge(guard, f"https://{host}/")
        except UpstreamForbidden:
            tunnelled -= 1
        else:
            understood += 1
            assert ip in {"8.8.4.4", "::ffff:808:404", "64:ff9b::808:404", "::ffff:8.8.4.4"}
    assert (tunnelled, understood) == (0, len(spellings("8.8.4.4")) - 3)


@pytest.mark.parametrize(
    "private", ["127.0.0.1", "10.1.2.3", "::1", "::ffff:10.0.0.1", "fd00::1", "169.254.169.254"]
)
@pytest.mark.parametrize("order", [1, -1])
async def test_one_private_address_condemns_the_name(private: str, order: int) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["93.184.215.14", private][::order]

    with pytest.raises(UpstreamForbidden):
        await judge(AddressGuard(lookup=lookup), "https://api.test/")


async def test_public_names_pass_on_their_schemes_own_port_only() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["93.184.215.14", "2606:2800:21f::1"]

    guard = AddressGuard(("special.test:8443",), lookup=lookup)
    both = ["93.184.215.14", "2606:2800:21f::1"]
    assert await judge(guard, "https://api.test/") == both
    assert await judge(guard, "http://api.test:80/") == both
    assert await judge(guard, "https://special.test:8443/") == both
    for url in ("http://api.test:443/", "https://api.test:80/", "https://api.test:8443/",
                "https://special.test:8444/", "https://api.test:22/"):  # fmt: skip
        with pytest.raises(UpstreamForbidden):
            await judge(guard, url)


async def test_listed_hosts_may_be_private() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return ["10.0.0.7"]

    guard = AddressGuard(
        ("Ollama.Internal.", "127.0.0.1:11434", "[::1]:80", "fd00::5"), lookup=lookup
    )
    assert await judge(guard, "http://ollama.internal:11434/") == ["10.0.0.7"]
    assert await judge(guard, "http://2130706433:11434/") == ["127.0.0.1"]
    assert await judge(guard, "http://[::1]/") == ["::1"]
    assert await judge(guard, "http://[fd00:0::5]:9/") == ["fd00::5"]
    for url in ("http://127.0.0.1:11435/", "http://127.0.0.1/", "http://other.internal/"):
        with pytest.raises(UpstreamForbidden):
            await judge(guard, url)


@pytest.mark.parametrize("metadata", ["169.254.169.254", "fd00:ec2::254", "100.100.100.200"])
async def test_a_listed_name_never_opens_the_clouds_metadata(metadata: str) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return [metadata]

    with pytest.raises(UpstreamForbidden):
        await judge(AddressGuard(("model.internal",), lookup=lookup), "http://model.internal/")


async def test_a_burst_asks_once_and_a_changed_answer_is_judged_again() -> None:
    answers = [["93.184.215.14"], ["127.0.0.1"]]

    async def lookup(host: str, port: int) -> list[str]:
        return answers.pop(0)

    guard = AddressGuard(lookup=lookup)
    for _ in range(5):
        assert await judge(guard, "https://api.test/") == ["93.184.215.14"]
    assert len(answers) == 1
    guard._cache.clear()  # as time does
    with pytest.raises(UpstreamForbidden):
        await judge(guard, "https://api.test/")


@pytest.mark.parametrize("failure", [socket.gaierror("no such name"), None])
async def test_a_name_without_an_address_cannot_be_connected_to(failure: OSError | None) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        if failure is not None:
            raise failure
        return []

    with pytest.raises(UpstreamConnectFailed):
        await judge(AddressGuard(lookup=lookup), "https://gone.test/")


def test_urls_are_taken_apart_and_normalised() -> None:
    target = parse_target("HTTPS://API.Test.:443/v1/möbel?q=1&x=%2F#part")
    assert (target.scheme, target.host, target.port) == ("https", "api.test", 443)
    assert target.path == "/v1/m%C3%B6bel?q=1&x=%2F"
    assert target.authority == "api.test"
    assert parse_target("http://api.test:8080").authority == "api.test:8080"
    assert parse_target("http://api.test:8080?x").path == "/?x"
    assert parse_target("http://[::1]:81/").authority == "[::1]:81"
    assert normalise_host("BÜCHER.example") == "xn--bcher-kva.example"
    assert normalise_host("ex\N{LATIN SMALL LETTER SHARP S}.test") == "xn--ex-hia.test"
