"""The systemd units: one for each role, all equally closed."""

import re

import pytest

from chatvault.settings.serving import ROLES
from tests.deploy.files import DEPLOY

UNITS = {path.name: path.read_text("utf-8") for path in (DEPLOY / "systemd").glob("*.service")}
_SAME = ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "UMask=0077")


@pytest.mark.parametrize("name", UNITS)
def test_is_closed_and_shows_secrets_to_itself_alone(name):
    lines = UNITS[name].splitlines()
    assert all(line in lines for line in _SAME)
    credentials = set(re.findall(r"^LoadCredential=(\w+):", UNITS[name], re.M))
    used = set(re.findall(r"_FILE=%d/(\w+)$", UNITS[name], re.M))
    assert credentials == used != set()
    assert "User=chatvault" in lines


def test_each_state_folder_has_one_server():
    homes = [re.findall(r"CHATVAULT_HOME=(\S+)", text) for text in UNITS.values()]
    assert len({home for found in homes for home in found}) == len(UNITS)
    for text in UNITS.values():
        home = re.search(r"CHATVAULT_HOME=/var/lib/(\S+)", text)
        states = re.search(r"^StateDirectory=(.*)$", text, re.M)
        assert home and states and home[1] in states[1].split()


def test_every_role_has_a_unit():
    roles = [re.findall(r"CHATVAULT_ROLES=(\S+)", text) for text in UNITS.values()]
    assert {role for found in roles for one in found for role in one.split(",")} == set(ROLES)


def test_reload_is_a_rolling_restart():
    assert "ExecReload=/bin/kill -HUP $MAINPID" in UNITS["chatvault-gateway.service"]
