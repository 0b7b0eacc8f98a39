"""The examples of docs/configuration-document.md are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.configuration.conftest import CANARY, apply

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration-document.md"

pytestmark = pytest.mark.django_db


def test_every_document_can_be_applied_and_the_first_lacks_nothing(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("TEAM_KEY", CANARY)
    first, *others = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    applied = apply(first)
    assert len(applied.created) == 13
    assert applied.notes == []
    assert len(others) == 1
    for text in others:
        assert not apply(text).is_noop


def test_every_variable_of_a_document_is_set_by_the_commands():
    page = PAGE.read_text(encoding="utf-8")
    commands = re.search(r"```sh\n(.*?)```", page, re.DOTALL).group(1)
    first = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL).group(1))
    named = set(re.findall(r"env:(\w+)", str(first)))
    assert named == {"OPENAI_API_KEY", "TEAM_KEY"}
    assert named <= set(re.findall(r"^export (\w+)=", commands, re.MULTILINE))
    for line in commands.splitlines():
        assert line.startswith(("export ", ".venv/bin/python manage.py config "))
