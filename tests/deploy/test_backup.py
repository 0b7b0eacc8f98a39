"""The programs of deploy/backup on files; `make restore-drill` runs them on a busy ChatVault."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY, program

database = program("backup/database.py")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A state folder whose database is being written to."""
    home = tmp_path / "home"
    for folder in ("journal/shipped", "journal/quarantine", "secrets", "run"):
        (home / folder).mkdir(parents=True)
    for name in ("journal.id", "0-1-00000002.cvj", "shipped/0-1-00000001.cvj", "ingest.lock"):
        (home / "journal" / name).write_text(name)
    (home / "journal/quarantine/x.bad").write_text("bad")
    (home / "secrets/vault_keys").write_text("k1:…")
    (home / "snapshot.bin").write_bytes(b"snapshot")
    with closing(sqlite3.connect(home / "chatvault.sqlite3")) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE t (a)")
        made.execute("INSERT INTO t VALUES (1)")
        made.commit()
    return home


def _run(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, DEPLOY / "backup" / name, *words]
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        list(map(str, command)), env=env, capture_output=True, text=True, check=False
    )


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_state_folder_comes_back(home, tmp_path):
    backup, secrets, new = (tmp_path / name for name in ("backup", "secrets", "new"))
    with closing(sqlite3.connect(home / "chatvault.sqlite3")) as writer:
        writer.execute("INSERT INTO t VALUES (2)")  # not committed: not in the backup
        done = _run("backup.py", "--home", home, "--to", backup, "--secrets-to", secrets)
        assert done.returncode == 0, done.stderr
    done = _run("restore.py", "--from", backup, "--secrets-from", secrets, "--home", new)
    assert done.returncode == 0, done.stderr
    made = {"run/", "ingest.lock"}
    assert _files(new) == {one for one in _files(home) if not any(name in one for name in made)}
    assert "secrets" not in {path.name for path in backup.iterdir()}
    with closing(sqlite3.connect(new / "chatvault.sqlite3")) as copy:
        assert copy.execute("SELECT a FROM t").fetchall() == [(1,)]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in new.rglob("*")}
    assert modes <= {0o600, 0o700}


def test_the_journal_of_a_disk_that_survived_wins(home, tmp_path):
    backup, new = tmp_path / "backup", tmp_path / "new"
    _run("backup.py", "--home", home, "--to", backup)
    (home / "journal/0-1-00000003.cvj").write_text("later")
    done = _run("restore.py", "--from", backup, "--home", new, "--node", home / "journal")
    assert done.returncode == 0, done.stderr
    assert (new / "journal/0-1-00000003.cvj").read_text() == "later"
    assert not (new / "journal/ingest.lock").exists()


def test_what_is_not_what_was_written_is_refused(home, tmp_path):
    backup, new = tmp_path / "backup", tmp_path / "new"
    _run("backup.py", "--home", home, "--to", backup)
    (backup / "node/journal/0-1-00000002.cvj").write_text("other")
    done = _run("restore.py", "--from", backup, "--home", new)
    assert done.returncode == 1 and "is not what was backed up" in done.stderr
    (backup / "manifest.json").unlink()
    done = _run("restore.py", "--from", backup, "--home", new)
    assert done.returncode == 1 and "is no whole backup" in done.stderr
    assert not new.exists()


def test_nothing_is_written_over(home, tmp_path):
    backup = tmp_path / "backup"
    assert _run("backup.py", "--home", home, "--to", backup).returncode == 0
    before = (backup / "manifest.json").read_bytes()
    assert _run("backup.py", "--home", home, "--to", backup).returncode == 1
    assert (backup / "manifest.json").read_bytes() == before
    done = _run("restore.py", "--from", backup, "--home", home)
    assert done.returncode == 1 and "is not empty" in done.stderr


def test_passwords_do_not_become_words_of_a_command():
    url = "postgresql://u%40x:p%2Fw@db.example.org:5433/cv?sslmode=verify-full"
    assert database.libpq(url) == {
        "PGHOST": "db.example.org",
        "PGPORT": "5433",
        "PGUSER": "u@x",
        "PGPASSWORD": "p/w",
        "PGDATABASE": "cv",
        "PGSSLMODE": "verify-full",
    }
    assert database.libpq("postgresql://u@/cv?host=/run/pg")["PGHOST"] == "/run/pg"


def test_a_piece_of_log_is_archived_once_and_never_over_another(tmp_path):
    source, archive = tmp_path / "wal", tmp_path / "archive"
    archive.mkdir()
    source.write_bytes(b"one")
    command = [DEPLOY / "backup/archive-wal.sh", source, "0001", archive]
    assert subprocess.run(command, check=False).returncode == 0
    assert subprocess.run(command, check=False).returncode == 0
    source.write_bytes(b"two")
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1
    assert (archive / "0001").read_bytes() == b"one"
    assert _files(archive) == {"0001"}
