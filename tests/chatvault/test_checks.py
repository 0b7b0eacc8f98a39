"""Each system check finds what it is for, says its id and how to mend it."""

import dataclasses
from typing import Any

import pytest
from django.conf import settings
from pytest_django import Settings

from chatvault import checks
from chatvault.settings.core import CoreSettings
from chatvault.settings.gateway import GatewaySettings
from chatvault.settings.redis import RedisSettings
from chatvault.settings.serving import ServingSettings
from chatvault.settings.vault import VaultSettings


def _with(wrapper: Settings, **sections: Any) -> None:
    wrapper.CHATVAULT = dataclasses.replace(settings.CHATVAULT, **sections)


@pytest.mark.parametrize(
    ("check", "sections", "expected"),
    [
        ("secrets_are_fit", {"vault": {"pepper": "short"}}, "chatvault.E001"),
        ("secrets_are_fit", {"vault": {"pepper": "", "keys": ""}}, "chatvault.W003"),
        ("many_gateways_share_redis", {"gateway": {"processes": 2}}, "chatvault.E002"),
        ("the_queue_has_a_broker", {"redis": {"mode": "cluster"}}, "chatvault.E013"),
        ("gateway_ships_its_journal", {"serving": {"roles": ("gateway", "web")}}, "chatvault.E010"),
        ("debug_is_private", {"core": {"debug": True, "host": "0.0.0.0"}}, "chatvault.E003"),
        ("hosts_are_named", {"core": {"allowed_hosts": ("*",)}}, "chatvault.W002"),
    ],
)
def test_finds(settings: Settings, check: str, sections: dict[str, Any], expected: str) -> None:
    kinds = {
        "core": CoreSettings,
        "vault": VaultSettings,
        "gateway": GatewaySettings,
        "redis": RedisSettings,
        "serving": ServingSettings,
    }
    _with(settings, **{name: kinds[name](**values) for name, values in sections.items()})
    found = getattr(checks, check)()
    assert [message.id for message in found] == [expected]
    assert all(message.hint for message in found)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("nfs4", ["chatvault.E004"]), ("tmpfs", ["chatvault.W001"]), ("ext4", [])],
)
def test_the_journal_needs_a_disk(
    monkeypatch: pytest.MonkeyPatch, kind: str, expected: list[str]
) -> None:
    monkeypatch.setattr(checks, "_file_system", lambda folder: kind)
    assert [message.id for message in checks.journal_is_on_a_disk()] == expected


def test_a_sound_installation_has_no_errors() -> None:
    found = [checks.secrets_are_fit, checks.many_gateways_share_redis, checks.debug_is_private]
    assert [message for check in found for message in check()] == []
