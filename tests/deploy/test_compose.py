"""The compose file: what every service must be, and who can reach whom."""

import re

import pytest

from tests.deploy.files import DEPLOY, compose

SERVICES = compose()["services"]
OURS = ("prepare", "gateway-1", "gateway-2", "web", "worker", "beat")
_FOREVER = sorted(set(SERVICES) - {"preflight", "prepare"})


def test_everything_of_a_production_runs():
    others = {"preflight", "postgres", "redis", "proxy", "prometheus", "grafana"}
    assert set(SERVICES) == others | set(OURS)


@pytest.mark.parametrize("name", SERVICES)
def test_is_hardened(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"])
    assert "privileged" not in service and "cap_add" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_image_has_a_version(name):
    image = SERVICES[name]["image"]
    default = re.fullmatch(r"\$\{[A-Z]+_IMAGE:-(.+)\}", image)
    assert default is not None
    tag = default[1].rpartition(":")[2]
    assert re.search(r"\d+\.\d+", tag) or default[1] == "chatvault:local"


@pytest.mark.parametrize("name", _FOREVER)
def test_says_whether_it_is_well_and_stops_in_order(name):
    service = SERVICES[name]
    assert "stop_grace_period" in service
    assert "healthcheck" in service or name in OURS  # ours is in the image
    assert service["restart"] == "unless-stopped"


def test_each_node_has_a_journal_of_its_own():
    volumes = [SERVICES[name]["volumes"] for name in ("gateway-1", "gateway-2")]
    assert volumes == [["gateway-1:/state"], ["gateway-2:/state"]]


def test_only_the_proxy_and_dashboards_can_be_reached_from_outside():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"proxy", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in published["grafana"])


def test_networks_keep_apart_what_need_not_meet():
    networks = compose()["networks"]
    members = {
        network: {name for name, one in SERVICES.items() if network in one.get("networks", ())}
        for network in networks
    }
    assert all(networks[name]["internal"] for name in ("front", "data", "monitoring"))
    assert members["data"] == {"postgres", "redis", *OURS}
    assert members["egress"] == {"gateway-1", "gateway-2", "web", "worker"}
    assert "proxy" not in members["data"] | members["egress"]
    assert SERVICES["preflight"]["network_mode"] == "none"


def test_the_proxy_alone_is_believed():
    environment = SERVICES["gateway-1"]["environment"]
    address = SERVICES["proxy"]["networks"]["front"]["ipv4_address"]
    assert environment["CHATVAULT_TRUSTED_PROXIES"] == address
    text = (DEPLOY / "compose/nginx/nginx.conf").read_text()
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text
    assert "location ~ ^/(metrics|livez|readyz)$ { return 404; }" in text
    assert "proxy_buffering off;" in text


def test_secrets_come_as_files():
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"SECRET_KEY|PEPPER|VAULT_KEYS|_URL|PASSWORD", variable):
                assert value.startswith("/run/secrets/"), (name, variable)
                assert value.removeprefix("/run/secrets/") in service["secrets"], name


def test_nothing_starts_before_the_secrets_are_judged():
    judged = {"preflight": {"condition": "service_completed_successfully"}}
    assert SERVICES["postgres"]["depends_on"] == judged
    assert SERVICES["redis"]["depends_on"] == judged
    known = set(compose()["secrets"]) - {"tls_certificate", "tls_key"}
    assert set(SERVICES["preflight"]["secrets"]) == known


def test_redis_never_forgets_a_counter_in_silence():
    words = SERVICES["redis"]["command"]
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert "--aclfile" in words
