"""The proxy is transparent until told otherwise, and then breaks what it was told to break."""

import time

import httpx
import pytest

from tests.fakes.http import HTTP


def ask(url: str, text: str = "a b", timeout: float = 5, **more: object) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return HTTP.post(f"{url}/v1/chat/completions", json=body, timeout=timeout)


@pytest.fixture
def proxy(upstream, faultproxy):
    return faultproxy.to("127.0.0.1", upstream.port)


def test_passes_everything_on(proxy, upstream):
    long = "word " * 50_000
    reply = ask(proxy.url, long)
    assert reply.json()["choices"][0]["message"]["content"].split()[2:] == long.split()
    assert "".join(ask(proxy.url, stream=True).text.splitlines()[-2:]) == "data: [DONE]"
    assert proxy.accepted == 2


def test_latency_and_bandwidth_take_their_time(proxy):
    proxy.toxics.latency_s = 0.15
    began = time.monotonic()
    ask(proxy.url)
    assert time.monotonic() - began >= 0.3
    proxy.heal()
    proxy.toxics.bytes_per_s = 5_000
    began = time.monotonic()
    size = len(ask(proxy.url).content)
    assert time.monotonic() - began >= size / 5_000


def test_slices_change_nothing(proxy):
    plain = ask(proxy.url)
    proxy.toxics.slice_bytes = 3
    assert ask(proxy.url).json()["choices"] == plain.json()["choices"]


@pytest.mark.parametrize("toxic", ["is_blackhole", "drops_answers"])
def test_silence(proxy, upstream, toxic):
    setattr(proxy.toxics, toxic, True)
    with pytest.raises(httpx.ReadTimeout):
        ask(proxy.url, timeout=0.2)
    assert len(upstream.seen) == (0 if toxic == "is_blackhole" else 1)


def test_resets(proxy):
    proxy.toxics.reset_after_bytes = 300
    with pytest.raises(httpx.TransportError):
        ask(proxy.url)
    proxy.heal()
    proxy.toxics.refuses = True
    with pytest.raises(httpx.TransportError):
        ask(proxy.url)
    proxy.heal()
    assert ask(proxy.url).status_code == 200


def test_a_request_is_cut_before_the_server_gets_it(proxy, upstream):
    proxy.toxics.cuts_before = b"commit this"
    with pytest.raises(httpx.TransportError):
        ask(proxy.url, "commit this")
    assert (len(upstream.seen), proxy.cut) == (0, 1)
    assert ask(proxy.url, "something else").status_code == 200


def test_reset_all_hits_open_streams(proxy, upstream):
    upstream.will_stream("a", "b", hold_after=1)
    body = {"model": "m", "messages": [], "stream": True}
    url = f"{proxy.url}/v1/chat/completions"
    with HTTP.stream("POST", url, json=body, timeout=5) as response:
        received = response.iter_raw()
        next(received)
        proxy.reset_all()
        with pytest.raises(httpx.TransportError):
            list(received)


def test_in_front_of_a_unix_socket(faultproxy, valkey_server):
    from valkey import Valkey

    proxy = faultproxy.to_socket(valkey_server.socket)
    with Valkey(port=proxy.port) as client:
        assert client.ping() is True


def test_an_answer_is_swallowed_though_the_server_gave_it(proxy, upstream):
    proxy.toxics.swallows_answer_to = b"do it"
    with pytest.raises(httpx.TransportError):
        ask(proxy.url, "please do it")
    assert upstream.last.json["messages"][0]["content"] == "please do it"
    assert proxy.swallowed == 1
    assert ask(proxy.url, "hello").status_code == 200
