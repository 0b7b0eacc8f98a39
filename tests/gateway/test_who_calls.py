"""What a key or token may do, from where, and in whose name it is booked."""

from __future__ import annotations

import ipaddress

import msgspec
import pytest

from apps.accounts.credentials import PREFIX
from apps.gateway.callers import address_of, is_from
from apps.gateway.plane import PlaneOptions
from apps.usage.records import Intent
from tests.fakes.http import HTTP
from tests.gateway.testbed import PATIENT

HELLO = [{"role": "user", "content": "Hello there"}]
PROXY = ipaddress.ip_network("127.0.0.0/8")


@pytest.fixture
def gateway_options() -> PlaneOptions:
    return msgspec.structs.replace(PATIENT, trusted_proxies=(PROXY,))


@pytest.fixture
def key(gateway, upstream):
    gateway.add_model("m", upstream.openai_url)
    return gateway.add_client()


def chat(gateway, token, **headers):
    return HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json={"model": "m", "messages": HELLO},
        headers={"authorization": f"Bearer {token}", **headers},
    )


def models(gateway, token, **headers):
    return HTTP.get(
        f"{gateway.openai_url}/models", headers={"authorization": f"Bearer {token}", **headers}
    )


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_a_token_is_booked_for_its_person_and_application(gateway, key):
    token = gateway.add_token(key, key_id=0, kind="oauth", user_id=3, application_id=5)
    assert chat(gateway, token).status_code == 200
    assert chat(gateway, key).status_code == 200
    booked = [
        (one.key_id, one.client_id, one.user_id, one.application_id)
        for one in gateway.records()
        if isinstance(one, Intent)
    ]
    assert booked == [(0, 1, 3, 5), (1, 1, 0, 0)]


def test_two_tokens_of_one_client_keep_their_own_models(gateway, key):
    some = gateway.add_token(key, key_id=0, kind="oauth", user_id=3, aliases=frozenset({"m"}))
    none = gateway.add_token(key, key_id=0, kind="oauth", user_id=3, aliases=frozenset({"x"}))
    for _ in range(2):
        assert chat(gateway, some).status_code == 200
        assert code(chat(gateway, none)) == (403, "model_not_allowed")


@pytest.mark.parametrize("scopes", [(), ("usage:read",), ("keys:write", "admin")])
def test_without_the_scope_no_model_is_called(gateway, key, upstream, scopes):
    token = gateway.add_token(key, PREFIX, scopes=frozenset(scopes))
    assert code(chat(gateway, token)) == (403, "scope_missing")
    assert code(models(gateway, token)) == (403, "scope_missing")
    assert gateway.records() == []


@pytest.mark.parametrize(
    ("networks", "forwarded", "expected"),
    [
        (("127.0.0.1/32",), None, 200),
        (("203.0.113.0/24",), None, 403),
        (("203.0.113.0/24",), "203.0.113.7", 200),
        (("203.0.113.7/32",), "198.51.100.1, 203.0.113.7", 200),
        (("198.51.100.1/32",), "198.51.100.1, 203.0.113.7", 403),  # the caller wrote the first
        (("127.0.0.1/32",), "127.0.0.1, 203.0.113.7", 403),
        (("203.0.113.0/24",), "203.0.113.7, 127.0.0.1", 200),  # through two of our proxies
        (("2001:db8::/32",), "2001:db8::1", 200),
        (("2001:db8::/32",), "2001:db9::1", 403),
        (("203.0.113.0/24",), "::ffff:203.0.113.7", 200),
        (("203.0.113.0/24",), "203.0.113.7:443", 200),
        (("2001:db8::/32",), "[2001:db8::1]:443", 200),
        (("203.0.113.0/24",), "rubbish", 403),
        (("203.0.113.0/24",), "203.0.113.7, rubbish", 403),
        (("203.0.113.0/24",), ",", 403),
    ],
)
def test_a_key_is_taken_from_its_networks_alone(gateway, key, networks, forwarded, expected):
    token = gateway.add_token(key, PREFIX, networks=networks)
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    answer = chat(gateway, token, **headers)
    assert answer.status_code == expected
    assert models(gateway, token, **headers).status_code == expected
    if expected == 403:
        assert code(answer) == (403, "network_not_allowed")
        assert gateway.records() == []


def test_nobody_but_a_trusted_proxy_says_where_a_request_comes_from():
    peer, forwarded = "198.51.100.9", b"203.0.113.7"
    assert str(address_of(peer, forwarded, (PROXY,))) == peer
    assert str(address_of(peer, forwarded, ())) == peer
    assert address_of("", forwarded, (PROXY,)) is None
    assert not is_from(None, ("0.0.0.0/0",))
    assert is_from(None, ())
    many = b"203.0.113.7, " + b"127.0.0.1, " * 10_000 + b"127.0.0.1"
    assert str(address_of("127.0.0.1", many, (PROXY,))) == "127.0.0.1"
