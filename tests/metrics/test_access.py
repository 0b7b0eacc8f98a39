"""Who may read the figures. Headers of a proxy are a reason to refuse, never to believe."""

import ipaddress

import pytest

from chatvault.lib.metrics.access import Access
from chatvault.lib.redact import Secret
from chatvault.refusal import Refusal
from chatvault.settings.metrics import MetricsSettings

LOCAL = ("127.0.0.1", 5000)
SCRAPER = ("203.0.113.7", 5000)
STRANGER = ("198.51.100.1", 5000)
TOKEN = "a-token-for-tests-0123456789"
NETWORKS = [ipaddress.ip_network("203.0.113.0/24"), ipaddress.ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("client", "refusal"),
    [
        (LOCAL, None),
        (("::1", 1), None),
        (("::ffff:127.0.0.1", 1), None),
        (SCRAPER, None),
        (("::ffff:203.0.113.9", 1), None),
        (("fd00::17", 1), None),
        (STRANGER, 404),
        (("not an address", 1), 404),
        (None, 404),
    ],
)
def test_callers_are_known_by_their_own_address(client, refusal) -> None:
    assert Access(NETWORKS).refusal(client, []) == refusal


def test_without_networks_only_this_machine_may() -> None:
    assert Access().refusal(LOCAL, []) is None
    assert Access().refusal(SCRAPER, []) == 404


@pytest.mark.parametrize(
    "name",
    ["forwarded", "via", "x-real-ip", "x-client-ip", "x-forwarded-for", "x-forwarded-proto"],
)
def test_what_a_proxy_relays_is_refused(name: str) -> None:
    headers = [(name.encode(), b"127.0.0.1"), (b"authorization", f"Bearer {TOKEN}".encode())]
    for access in (Access(NETWORKS), Access(NETWORKS, Secret(TOKEN))):
        assert access.refusal(LOCAL, headers) == 404
        assert access.refusal(SCRAPER, headers) == 404


@pytest.mark.parametrize(
    ("header", "refusal"),
    [
        (f"Bearer {TOKEN}", None),
        (f"bearer  {TOKEN}", None),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer", 401),
        ("", 401),
    ],
)
def test_a_token_is_asked_of_everybody(header: str, refusal: int | None) -> None:
    access = Access(NETWORKS, Secret(TOKEN))
    headers = [(b"authorization", header.encode())] if header else []
    assert access.refusal(LOCAL, headers) == refusal
    assert access.refusal(SCRAPER, headers) == refusal
    assert access.refusal(STRANGER, [(b"authorization", f"Bearer {TOKEN}".encode())]) == 404


def test_networks_must_be_networks() -> None:
    with pytest.raises(Refusal, match="CHATVAULT_METRICS_NETWORKS"):
        MetricsSettings(networks="203.0.113.0/24,everybody")


def test_a_short_token_is_refused_and_not_shown() -> None:
    with pytest.raises(Refusal, match="CHATVAULT_METRICS_TOKEN") as refused:
        MetricsSettings(token="short")
    assert "short" not in str(refused.value)
