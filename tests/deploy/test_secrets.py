"""Secrets of the compose set-up: made well, and refused when they are not."""

import base64
import hashlib
import shutil
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.deploy.files import DEPLOY, program

preflight = program("compose/preflight.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of compose after `make-secrets.sh`."""
    folder = tmp_path_factory.mktemp("compose") / "deploy"
    shutil.copytree(DEPLOY, folder, ignore=shutil.ignore_patterns("secrets", ".env"))
    here = folder / "compose"
    example = (here / ".env.example").read_text()
    (here / ".env").write_text(example.replace("HOSTNAME=", "HOSTNAME=llm.test.org"))
    subprocess.run([here / "make-secrets.sh"], check=True, capture_output=True)
    return here


def test_what_is_made_is_accepted(made):
    assert preflight.findings(made / "secrets") == []


def test_the_folder_is_private_and_single_files_can_be_shown(made):
    assert stat.S_IMODE((made / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((made / "secrets/secret_key").stat().st_mode) == 0o444
    assert stat.S_IMODE((made / "secrets/providers.env").stat().st_mode) == 0o600


def test_a_second_run_keeps_what_is_there(made):
    before = {path.name: path.read_bytes() for path in (made / "secrets").iterdir()}
    subprocess.run([made / "make-secrets.sh"], check=True, capture_output=True)
    assert {path.name: path.read_bytes() for path in (made / "secrets").iterdir()} == before


def test_the_password_of_redis_is_in_its_url_alone(made):
    users = (made / "secrets/redis_users").read_text()
    assert "user default off" in users
    for name in ("redis_url", "celery_broker_url"):
        password = urlsplit((made / "secrets" / name).read_text().strip()).password
        assert password is not None and len(password) == 48
        assert password not in users
        assert f"#{hashlib.sha256(password.encode()).hexdigest()} " in users


def test_without_a_host_name_nothing_is_made(tmp_path):
    here = tmp_path / "compose"
    here.mkdir()
    for name in ("make-secrets.sh", ".env.example"):
        shutil.copy2(DEPLOY / "compose" / name, here / name)
    done = subprocess.run([here / "make-secrets.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "CHATVAULT_HOSTNAME" in done.stderr
    assert not (here / "secrets").exists()


_WEAK = base64.b64encode(b"a" * 32).decode()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("secret_key", ""),
        ("secret_key", "change-me-" + "k3J9" * 12),
        ("secret_key", "s3J9fX"),
        ("key_pepper", "no base64 at all"),
        ("key_pepper", _WEAK),
        ("vault_keys", f"k1:{_WEAK}"),
        ("vault_keys", base64.b64encode(bytes(range(32))).decode()),
        ("postgres_password", "postgres"),
        ("grafana_password", "admin"),
        ("database_password", "<your password here>"),
        ("database_url", "postgresql://chatvault@postgres:5432/chatvault"),
        ("database_url", "postgresql://chatvault:password@postgres:5432/chatvault"),
        ("redis_url", "redis://redis:6379/0"),
        ("redis_users", "user default on nopass ~* +@all"),
        ("redis_users", "user default off\nuser chatvault on >clear ~* +@all"),
    ],
)
def test_is_refused(made, tmp_path, name, text):
    shutil.copytree(made / "secrets", tmp_path / "secrets")
    path = tmp_path / "secrets" / name
    path.unlink()
    path.write_text(text)
    found = preflight.findings(tmp_path / "secrets")
    assert len(found) == 1 and found[0].startswith(f"{name} ")
    assert not text or text not in found[0].removeprefix(name)
