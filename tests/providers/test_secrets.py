from __future__ import annotations

import base64
import itertools
import pickle

import msgspec
import pytest

from apps.providers.errors import SecretRefused, SecretUnavailable, VaultKeysInvalid
from apps.providers.secrets import (
    SecretContext,
    Vault,
    credential_context,
    origin_of,
)
from chatvault.lib.errors import UpstreamForbidden
from chatvault.lib.redact import Secret
from chatvault.lib.references import check_reference
from chatvault.lib.vault import length_prefixed

CANARY = "sk-canary-4f1c7d90aa"
HOME = credential_context(7, "https://api.openai.com:443")


def ring(*ids: str) -> Secret:
    return Secret(",".join(f"{i}:{base64.b64encode(i.encode() * 32).decode()[:43]}=" for i in ids))


def vault(*ids: str, **options: object) -> Vault:
    return Vault(ring(*ids or ("a",)), **options)  # type: ignore[arg-type]


def test_a_sealed_secret_opens_in_its_context():
    stored = vault().seal(CANARY, HOME)
    assert stored.startswith("cv1:a:")
    assert vault().open(stored, HOME).reveal() == CANARY


def test_sealing_twice_gives_different_texts_and_none_shows_the_secret():
    one, two = vault().seal(CANARY, HOME), vault().seal(CANARY, HOME)
    assert one != two
    raw = base64.b64decode(one.split(":")[2])
    assert CANARY not in one
    assert CANARY.encode() not in raw
    assert base64.b64encode(CANARY.encode()).decode().rstrip("=") not in one


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "webhook"},
        {"table": "providers.provider"},
        {"row": "8"},
        {"field": "name"},
        {"origin": "https://evil.example:443"},
        {"origin": "http://api.openai.com:443"},
        {"origin": "https://api.openai.com:8443"},
    ],
)
def test_a_sealed_secret_stays_shut_elsewhere(change):
    stored = vault().seal(CANARY, HOME)
    with pytest.raises(SecretUnavailable, match="does not belong here") as caught:
        vault().open(stored, msgspec.structs.replace(HOME, **change))
    assert CANARY not in str(caught.value)
    assert caught.value.hint.startswith("Enter the secret again")


def test_contexts_that_read_alike_do_not_open_each_other():
    one = SecretContext("p", "ab", "c", "f", "o")
    two = SecretContext("p", "a", "bc", "f", "o")
    with pytest.raises(SecretUnavailable):
        vault().open(vault().seal(CANARY, one), two)
    texts = ["", "a", "ab", "b", "\x00"]
    seen = {length_prefixed(x, y) for x, y in itertools.product(texts, texts)}
    assert len(seen) == len(texts) ** 2


@pytest.mark.parametrize("at", range(0, 60, 7))
def test_a_changed_byte_is_noticed(at):
    stored = vault().seal(CANARY, HOME)
    raw = bytearray(base64.b64decode(stored.split(":")[2]))
    raw[at % len(raw)] ^= 1
    with pytest.raises(SecretUnavailable):
        vault().open("cv1:a:" + base64.b64encode(bytes(raw)).decode(), HOME)


@pytest.mark.parametrize("stored", ["cv1:", "cv1:a", "cv1:a:", "cv1:a:%%%", "cv1:a:AAAA", "plain"])
def test_rubbish_is_not_taken_for_a_secret(stored):
    with pytest.raises(SecretUnavailable) as caught:
        vault().open(stored, HOME)
    assert "plain" not in caught.value.reason


def test_keys_rotate_the_first_seals_and_all_open():
    old = vault("old").seal(CANARY, HOME)
    both = vault("new", "old")
    assert both.open(old, HOME).reveal() == CANARY
    assert both.needs_resealing(old)
    assert not both.needs_resealing(both.seal(CANARY, HOME))
    with pytest.raises(SecretUnavailable, match="'old', which is not in the ring"):
        vault("new").open(old, HOME)


def test_an_empty_ring_opens_references_only():
    empty = Vault(Secret(""), environ={"A": "x" * 20})
    assert empty.open("env:A", HOME).reveal() == "x" * 20
    with pytest.raises(VaultKeysInvalid, match="CHATVAULT_VAULT_KEYS"):
        empty.seal(CANARY, HOME)


@pytest.mark.parametrize(
    "text", ["k1", "k1:", "k1:AAAA", ":" + "A" * 43 + "=", "k 1:" + "A" * 43 + "=", "k1:?" * 9]
)
def test_a_malformed_ring_is_refused_without_showing_it(text):
    with pytest.raises(VaultKeysInvalid) as caught:
        Vault(Secret(text))
    assert text not in str(caught.value)


def test_a_key_id_twice_is_refused():
    with pytest.raises(VaultKeysInvalid, match="twice"):
        vault("a", "a")


def test_a_vault_shows_ids_and_no_keys():
    shown = repr(vault("a", "b"))
    assert shown == "Vault(a, b)"


def test_an_opened_secret_is_masked_everywhere():
    secret = vault().open(vault().seal(CANARY, HOME), HOME)
    assert f"{secret} {secret!r} {secret!s}" == "*** *** ***"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_references_are_resolved_when_they_are_needed(tmp_path):
    environ: dict[str, str] = {}
    path = tmp_path / "key"
    late = vault(environ=environ)
    with pytest.raises(SecretUnavailable, match="OPENAI_API_KEY is not set") as caught:
        late.open("env:OPENAI_API_KEY", HOME)
    assert "restart" in caught.value.hint
    environ["OPENAI_API_KEY"] = f" {CANARY}\n"
    assert late.open("env:OPENAI_API_KEY", HOME).reveal() == CANARY
    with pytest.raises(SecretUnavailable, match="No such file"):
        late.open(f"file:{path}", HOME)
    path.write_text(CANARY + "\n")
    assert late.open(f"file:{path}", HOME).reveal() == CANARY


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xff\xfe", b"a\nb", b"a\x00b", b"x" * 70_000])
def test_a_file_that_holds_no_secret_is_told_without_its_content(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SecretUnavailable) as caught:
        vault().open(f"file:{path}", HOME)
    assert str(path) in caught.value.reason
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize(
    "reference",
    [
        "env:", "env:1A", "env:A B", "env:A=B", "file:", "file:relative", "file:/a\x00b", "vault:x",
        "env:SECRET_KEY", "env:CHATVAULT_SECRET_KEY", "env:CHATVAULT_VAULT_KEYS",
        "env:CHATVAULT_VAULT_KEYS_FILE", "env:CHATVAULT_KEY_PEPPER", "env:DATABASE_URL",
        "env:REDIS_URL", "env:chatvault_key_pepper", "file:/proc/self/environ",
        "file:/state/secrets/vault_keys", "file:/state/x/../secrets/key_pepper",
    ],
)  # fmt: skip
def test_a_reference_may_not_reach_chatvaults_own_secrets(reference, tmp_path):
    own = tmp_path / "state"
    (own / "secrets").mkdir(parents=True)
    with pytest.raises(SecretRefused):
        check_reference(reference.replace("/state", str(own)), home=own)


def test_a_link_into_the_state_folder_is_no_way_around(tmp_path):
    own = tmp_path / "state"
    own.mkdir()
    (own / "vault_keys").write_text(CANARY)
    link = tmp_path / "innocent"
    link.symlink_to(own / "vault_keys")
    with pytest.raises(SecretRefused):
        vault(home=own).open(f"file:{link}", HOME)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com:443"),
        ("https://API.OpenAI.com:443/v2/", "https://api.openai.com:443"),
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434"),
        ("http://2130706433:11434", "http://127.0.0.1:11434"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("", "default:demo:"),
    ],
)
def test_an_origin_has_one_spelling(url, origin):
    assert origin_of(url, "demo") == origin


def test_an_ambiguous_url_has_no_origin():
    with pytest.raises(UpstreamForbidden):
        origin_of("https://api.openai.com@evil.example/", "openai")
