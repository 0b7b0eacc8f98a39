"""Where settings come from, and how a wrong one is told."""

from pathlib import Path

import pytest

from chatvault.refusal import Refusal
from chatvault.settings.core import CoreSettings
from chatvault.settings.database import DatabaseSettings
from chatvault.settings.strength import weaknesses
from chatvault.settings.upstream import UpstreamSettings, ollama_base_url
from chatvault.settings.vault import VaultSettings


def test_a_value_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATVAULT_UPSTREAM_CONNECT_TIMEOUT_S", "1.5")
    assert UpstreamSettings().connect_timeout_s == 1.5


def test_a_value_comes_from_a_file_stripped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("  postgresql://u:p@db/name\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert DatabaseSettings().url.get_secret_value() == "postgresql://u:p@db/name"


def test_the_variable_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "port").write_text("1")
    monkeypatch.setenv("PORT_FILE", str(tmp_path / "port"))
    monkeypatch.setenv("PORT", "2")
    assert CoreSettings().port == 2


def test_an_empty_variable_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "")
    assert CoreSettings().host == "127.0.0.1"


def test_made_secrets_are_read_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key_pepper").write_text("kept\n")
    monkeypatch.setenv("CHATVAULT_HOME", str(tmp_path))
    assert VaultSettings().pepper.get_secret_value() != "kept"
    monkeypatch.delenv("CHATVAULT_KEY_PEPPER")
    assert VaultSettings().pepper.get_secret_value() == "kept"


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATVAULT_PRIVATE_HOSTS", "10.0.0.5:8080, model.internal ,")
    assert UpstreamSettings().private_hosts == ("10.0.0.5:8080", "model.internal")


def test_ollamas_own_variable_permits_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATVAULT_PRIVATE_HOSTS", "model.internal")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1")
    assert UpstreamSettings().private_hosts == ("model.internal", "127.0.0.1:11434")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("http://gpu.lan:80/", "http://gpu.lan:80/v1"),
        ("https://[fd00::1]:9", "https://[fd00::1]:9/v1"),
    ],
)
def test_ollama_addresses(given: str, expected: str) -> None:
    assert ollama_base_url(given) == expected


def test_a_wrong_value_is_told_by_name_never_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATVAULT_UPSTREAM_MAX_ATTEMPTS", "hunter2")
    with pytest.raises(Refusal) as refused:
        UpstreamSettings()
    assert "CHATVAULT_UPSTREAM_MAX_ATTEMPTS" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        CoreSettings().port = 1  # type: ignore[misc]


def test_secrets_hide_in_reprs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:canary-canary@db/x")
    assert "canary" not in repr(DatabaseSettings())


def test_postgresql_from_a_url() -> None:
    made = DatabaseSettings(url="postgresql://us%40er:p%3Aw@db:6543/name?sslmode=require")
    settings = made.as_django(Path("/home"), "web")["default"]
    assert (settings["USER"], settings["PASSWORD"]) == ("us@er", "p:w")
    assert (settings["HOST"], settings["PORT"], settings["NAME"]) == ("db", "6543", "name")
    assert settings["OPTIONS"]["sslmode"] == "require"
    assert settings["OPTIONS"]["pool"]["max_size"] == 8


def test_what_libpq_understands_is_passed_on() -> None:
    made = DatabaseSettings(
        url="postgresql://u@a:1,b:2/name?target_session_attrs=read-write&sslrootcert=/ca.pem"
        "&application_name=mine&options=-c%20work_mem%3D8MB&connect_timeout=9"
    )
    settings = made.as_django(Path("/home"), "gateway")["default"]
    options = settings["OPTIONS"]
    assert (settings["HOST"], settings["PORT"]) == ("a,b", "1,2")
    assert options["target_session_attrs"] == "read-write"
    assert options["sslrootcert"] == "/ca.pem"
    assert (options["application_name"], options["connect_timeout"]) == ("mine", "9")
    assert options["options"].endswith("-c work_mem=8MB")


@pytest.mark.parametrize(
    ("role", "statement", "lock", "pool"),
    [
        ("web", 30_000, 5_000, 8),
        ("pages", 30_000, 5_000, 8),
        ("gateway", 2_000, 1_000, 4),
        ("ingest", 0, 0, 2),
        ("worker", 600_000, 5_000, 8),
        ("migrate", 0, 1_000, 0),
        ("manage", 0, 0, 0),
    ],
)
def test_each_role_has_its_limits(role: str, statement: int, lock: int, pool: int) -> None:
    options = DatabaseSettings().options(role)
    assert options["options"] == (
        f"-c statement_timeout={statement} -c lock_timeout={lock}"
        " -c idle_in_transaction_session_timeout=60000"
    )
    assert options.get("pool", {}).get("max_size", 0) == pool
    assert options["application_name"] == f"chatvault-{'gateway' if role == 'pages' else role}"


def test_a_malformed_url_is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match="malformed") as refused:
        DatabaseSettings(url="postgresql://u:canary@db/x?nonsense=1").as_django(Path("/home"))
    assert "canary" not in str(refused.value)


def test_sqlite_begins_writing_at_once() -> None:
    settings = DatabaseSettings().as_django(Path("/state"))["default"]
    assert settings["NAME"] == Path("/state/chatvault.sqlite3")
    assert settings["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in settings["OPTIONS"]["init_command"]


@pytest.mark.parametrize("keys", ["", "k1", "k1:short", "k1:AAAA,k1:AAAA", ":AAAA"])
def test_vault_keys_that_are_not_whole(keys: str) -> None:
    found = weaknesses(CoreSettings(), VaultSettings(keys=keys))
    assert found == ["CHATVAULT_VAULT_KEYS is not a list of id:base64 with 32 bytes each"]


def test_the_secrets_of_the_tests_are_strong() -> None:
    assert weaknesses(CoreSettings(), VaultSettings()) == []
