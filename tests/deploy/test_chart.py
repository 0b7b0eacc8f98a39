"""The chart, as far as it can be read without helm; `make deploy-check` renders it."""

import json
import re
from typing import Any

import pytest
import yaml

from chatvault.settings.serving import ROLES
from tests.deploy.files import CHART, secret_variables

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
TEMPLATES = {path.name: path.read_text("utf-8") for path in (CHART / "templates").iterdir()}
ALL = "\n".join(TEMPLATES.values())


def _paths(values: Any, place: str = "") -> list[str]:
    if not isinstance(values, dict) or not values or place == ".env":
        return [place]
    return [path for name, value in values.items() for path in _paths(value, f"{place}.{name}")]


def test_the_schema_knows_every_value_and_no_other():
    def known(schema: dict[str, Any], place: str = "") -> set[str]:
        properties = schema.get("properties")
        if not properties:
            return {place}
        assert schema["additionalProperties"] is False, place
        return {path for name in properties for path in known(properties[name], f"{place}.{name}")}

    given = {path for path in _paths(VALUES) if not re.search(r"\.(resources|labels)\.", path)}
    allowed = known(SCHEMA) - {".global"}
    assert given - allowed == set()
    covered = {path for path in allowed if any(one.startswith(path) for one in _paths(VALUES))}
    assert allowed - covered == {".gateway.podDisruptionBudget.minAvailable"} | {
        ".web.podDisruptionBudget.minAvailable"
    }


def test_every_value_is_used():
    for path in _paths(VALUES):
        top, *rest = path.strip(".").split(".")
        used = re.search(rf"\.{top}\b", ALL) or f'"{top}"' in ALL
        assert used and (not rest or re.search(rf"\b{rest[0]}\b", ALL)), path


def test_what_must_be_named_has_no_default():
    assert SCHEMA["required"] == ["image", "hostname", "database", "redis"]
    for path in ("hostname", "image.repository", "database.existingSecret"):
        value: Any = VALUES
        for name in path.split("."):
            value = value[name]
        assert value == ""


@pytest.mark.parametrize("values", sorted((CHART / "ci").glob("*.yaml")), ids=lambda p: p.stem)
def test_examples_are_allowed_by_the_schema(values):
    import jsonschema

    given = yaml.safe_load(values.read_text(encoding="utf-8"))
    jsonschema.validate(given, SCHEMA)


# A proxy without a password is no secret; one with a password comes by `providerSecrets`.
_PROXIES = {"HTTPS_PROXY", "https_proxy"}


@pytest.mark.parametrize("name", sorted(secret_variables() - _PROXIES | {"CHATVAULT_ROLES"}))
def test_secrets_cannot_be_values(name):
    import jsonschema

    given = yaml.safe_load((CHART / "ci/minimal-values.yaml").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(given | {"env": {name: "x"}}, SCHEMA)


def test_every_pod_is_restricted():
    pods = [name for name, text in TEMPLATES.items() if "containers:" in text]
    assert sorted(pods) == ["background.yaml", "gateway.yaml", "prepare.yaml", "web.yaml"]
    for name in pods:
        assert 'include "chatvault.pod"' in TEMPLATES[name], name
        assert 'include "chatvault.securityContext"' in TEMPLATES[name], name
        assert "resources:" in TEMPLATES[name], name
    helpers = TEMPLATES["_helpers.tpl"]
    for line in (
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "capabilities: {drop: [ALL]}",
        "seccompProfile: {type: RuntimeDefault}",
        "automountServiceAccountToken: false",
    ):
        assert line in helpers


def test_probes_mean_what_they_say():
    """A gateway that drains or waits for its database must not be killed for it."""
    helpers = TEMPLATES["_helpers.tpl"]
    probes = dict(re.findall(r"^(\w+)Probe:\n  httpGet: {path: (\S+), port: http}", helpers, re.M))
    assert probes == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}


def test_journals_survive_and_beat_is_one():
    assert (
        "persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}"
        in (TEMPLATES["gateway.yaml"])
    )
    assert 'if eq $component "beat" }}1{{' in TEMPLATES["background.yaml"]
    assert "Recreate" in TEMPLATES["background.yaml"]
    assert set(ROLES) == {"gateway", "ingest", "web", "worker", "beat"}


def test_pods_reach_no_metadata_service():
    policies = TEMPLATES["networkpolicies.yaml"]
    blocks = re.findall(r"cidr: 0\.0\.0\.0/0,?\s+except: (\[.*?\])", policies)
    assert len(blocks) == 2 and all("169.254.0.0/16" in block for block in blocks)
    assert "policyTypes: [Ingress, Egress]" in policies
