"""What keeps `manage.py serve` from starting is told in one sentence that helps."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.tree import ROOT, environment


def _serve(home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = _one_sentence(_serve(tmp_path / "home", PORT=str(port)))
    assert told == (
        f"chatvault: Port {port} on 127.0.0.1 is taken: "
        "stop what uses it, or choose another with PORT."
    )


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_text("not a folder")
    told = _one_sentence(_serve(home))
    assert told.startswith(f"chatvault: The state folder {home} cannot be used (")
    assert told.endswith("or name another one in CHATVAULT_HOME.")


def test_a_setting_of_the_wrong_type(tmp_path: Path) -> None:
    told = _one_sentence(_serve(tmp_path / "home", CHATVAULT_UPSTREAM_MAX_ATTEMPTS="many"))
    assert told.startswith("chatvault: The setting CHATVAULT_UPSTREAM_MAX_ATTEMPTS is wrong:")
    assert "many" not in told


def test_a_secret_file_that_is_missing(tmp_path: Path) -> None:
    told = _one_sentence(_serve(tmp_path / "home", CHATVAULT_SECRET_KEY_FILE="/nowhere"))
    assert told == (
        "chatvault: The file of CHATVAULT_SECRET_KEY_FILE cannot be read "
        "(No such file or directory)."
    )


@pytest.mark.parametrize(
    "weak", ["changeme", "x" * 64, "my-secret-key-that-is-really-long-0123456789"]
)
def test_weak_secrets_where_others_can_reach(tmp_path: Path, weak: str) -> None:
    told = _one_sentence(_serve(tmp_path / "home", HOST="0.0.0.0", CHATVAULT_SECRET_KEY=weak))
    assert "CHATVAULT_SECRET_KEY is missing, short or a placeholder" in told
    assert weak not in told


def test_many_gateways_without_redis(tmp_path: Path) -> None:
    told = _one_sentence(_serve(tmp_path / "home", CHATVAULT_GATEWAY_PROCESSES="2"))
    assert told.endswith("(chatvault.E002)")
    assert "Set REDIS_URL" in told


def test_a_role_that_does_not_exist(tmp_path: Path) -> None:
    told = _one_sentence(_serve(tmp_path / "home", CHATVAULT_ROLES="gateway,proxy"))
    assert told.startswith("chatvault: The setting CHATVAULT_ROLES is wrong:")


def test_a_gateway_without_ingest(tmp_path: Path) -> None:
    told = _one_sentence(_serve(tmp_path / "home", CHATVAULT_ROLES="gateway,web"))
    assert told.endswith("(chatvault.E010)")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    told = _one_sentence(_serve(tmp_path / "home"))
    assert "Permission denied" in told
    assert told.endswith("or name another one in CHATVAULT_HOME.")
