"""What deploy/ says is what the code understands; and it says nothing secret."""

import re
import tomllib

import pytest
import yaml

from chatvault.settings.serving import ROLES
from tests.architecture.source import ROOT
from tests.deploy.files import CHART, DEPLOY, compose, texts, variables

# Of compose itself: they are put into other values and reach no process.
_OF_COMPOSE = {"CHATVAULT_HOSTNAME", "CHATVAULT_IMAGE"}
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bcv_[A-Za-z0-9]{20}|\bsk-[A-Za-z0-9]{20}"
    r"|(?i:password|secret|token|pepper)[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9+/_-]{16,}"
)
# Where a secret lies, or what it is called, is none.
_PLACE = re.compile(r"/run/secrets/|/etc/chatvault/credentials/|existingSecret|--hash=sha256")


@pytest.mark.parametrize(("path", "text"), texts(), ids=lambda value: getattr(value, "name", ""))
def test_every_variable_is_a_setting(path, text):
    named = set(re.findall(r"\b(?:CHATVAULT|DATABASE|REDIS)_[A-Z0-9_]*[A-Z0-9]\b", text))
    named -= {"REDIS_IMAGE"}
    assert named - variables() - _OF_COMPOSE == set()


@pytest.mark.parametrize(("path", "text"), texts(), ids=lambda value: getattr(value, "name", ""))
def test_no_secret_is_written_down(path, text):
    found = [line for line in text.splitlines() if _SECRET.search(line)]
    assert [line for line in found if not _PLACE.search(line)] == []


def test_roles_are_those_of_the_code_and_all_run():
    said = {
        role
        for _, text in texts()
        for roles in re.findall(r"CHATVAULT_ROLES(?:=|: |, value: )\"?([a-z,]+)", text)
        for role in roles.split(",")
    }
    assert said == set(ROLES)


def test_a_gateway_always_has_its_ingest():
    for path, text in texts():
        for roles in re.findall(r"CHATVAULT_ROLES(?:=|: |, value: )\"?([a-z,]+)", text):
            assert "gateway" not in roles.split(",") or "ingest" in roles.split(","), path


def test_every_yaml_is_well_formed():
    for path in [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")]:
        if CHART / "templates" not in path.parents:
            assert list(yaml.safe_load_all(path.read_text(encoding="utf-8"))), path


def test_versions_are_one():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_the_stop_is_granted_its_time():
    """The drain, then what the supervisor gives ingest and the worker after it."""
    from chatvault.settings.gateway import GatewaySettings
    from chatvault.supervisor import tasks

    drain_s = GatewaySettings.model_fields["drain_timeout_s"].default
    needed_s = drain_s + tasks.AFTER_DRAIN_S + tasks.INGEST_GRACE_S
    for name, service in compose()["services"].items():
        if name.startswith("gateway"):
            assert int(service["stop_grace_period"].removesuffix("s")) >= needed_s
            assert float(service["environment"]["CHATVAULT_GATEWAY_DRAIN_TIMEOUT_S"]) == drain_s
    unit = (DEPLOY / "systemd/chatvault-gateway.service").read_text()
    stop_s = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop_s is not None and int(stop_s[1]) >= needed_s
    template = (CHART / "templates/gateway.yaml").read_text()
    more_s = re.search(r"add \$own\.preStopSeconds \$own\.drainTimeoutSeconds (\d+)", template)
    assert more_s is not None and int(more_s[1]) >= needed_s - drain_s
