"""`manage.py config` where there is no database yet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests.environment import POSTGRES_PORT

ROOT = Path(__file__).resolve().parents[2]


def manage(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("CHATVAULT_")}
    return subprocess.run(
        [sys.executable, "manage.py", "config", *words],
        cwd=ROOT,
        env=environ | {"CHATVAULT_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_state_folder_that_is_not_there_is_one_clear_sentence(tmp_path):
    home = tmp_path / "absent"
    done = manage("export", home=home)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"CommandError: There is no database at {home}/chatvault.sqlite3: set CHATVAULT_HOME to "
        "the server's state folder, or start the server once.\n"
    )
    assert not home.exists()


def test_a_database_that_is_not_migrated_is_one_clear_sentence(tmp_path):
    (tmp_path / "chatvault.sqlite3").touch()
    done = manage("check", "-", home=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "CommandError: The database is not migrated to this version of ChatVault: start the server "
        "once, or run `manage.py migrate`.\n"
    )


@pytest.mark.skipif(bool(POSTGRES_PORT), reason="it is about a file that is not there")
@pytest.mark.django_db
@pytest.mark.parametrize("words", [["export"], ["check", "-"], ["apply", "-"]])
def test_every_verb_asks_for_the_database_first(monkeypatch, tmp_path, words):
    absent = tmp_path / "absent.sqlite3"
    monkeypatch.setitem(connection.settings_dict, "NAME", absent)
    with pytest.raises(CommandError, match="There is no database"):
        call_command("config", *words)
    assert not absent.exists()
