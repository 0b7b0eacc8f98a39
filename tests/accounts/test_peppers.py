"""A ring of peppers: keys under an older one match and move; imported digests do likewise."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from django.conf import settings
from pydantic import SecretStr

from apps.accounts import (
    bearers,
    credentials,
    errors,
    key_import,
    key_use,
    keys,
    repepper,
    services,
)
from apps.accounts.credentials import Asker, digest
from apps.accounts.key_cache import KeyCache
from apps.accounts.models import ApiKey
from apps.accounts.principals import OWNER
from apps.audit.models import AuditEvent
from apps.configuration.models import Announcement
from chatvault.lib import clock
from chatvault.lib.peppers import parse_ring
from chatvault.lib.redact import Secret
from chatvault.settings.strength import pepper_is_whole
from tests.factories import make_alias, make_client, make_key

pytestmark = pytest.mark.django_db

OLD, NEW = b"p" * 32, b"n" * 32
FOREIGN = "sk-1234567890-of-another-gateway"
SHA = hashlib.sha256(FOREIGN.encode()).hexdigest()


def text(pepper: bytes) -> str:
    return base64.b64encode(pepper).decode()


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(repepper, "soon", repepper.move)


def use_ring(monkeypatch, ring: str) -> None:
    sections = settings.CHATVAULT
    vault = sections.vault.model_copy(update={"pepper": SecretStr(ring)})
    monkeypatch.setattr(settings, "CHATVAULT", replace(sections, vault=vault))


def show(token: str):
    question = Asker(keys.peppers()).question(token.encode())
    return bearers.answer([question]).get(question.digest)


def test_a_ring_is_read_newest_first():
    assert parse_ring(f"2:{text(NEW)}, 1:{text(OLD)}") == {2: NEW, 1: OLD}
    assert list(parse_ring(f"2:{text(NEW)},1:{text(OLD)}")) == [2, 1]
    assert parse_ring(text(OLD)) == {1: OLD}


@pytest.mark.parametrize(
    "ring",
    ["", "1:", "0:cA==", "x:cA==", "1:cA==,1:cA==", "cA==,1:cA==", "1:not base64", "99999:cA==",
     ",".join(f"{n}:cA==" for n in range(1, 10))],
)  # fmt: skip
def test_a_malformed_ring_is_refused_without_showing_it(ring):
    with pytest.raises(ValueError, match="CHATVAULT_KEY_PEPPER") as caught:
        parse_ring(ring)
    assert "cA==" not in str(caught.value)
    assert not pepper_is_whole(ring)


def test_a_key_under_an_older_pepper_matches_and_moves(monkeypatch, at_once):
    issued = make_key()
    token = issued.secret.reveal()
    use_ring(monkeypatch, f"2:{text(NEW)},1:{text(OLD)}")
    rows = ApiKey.objects.under_other_pepper(keys.pepper_number())
    assert rows.count() == 1
    record = show(token)
    assert (record.key_id, record.stored) == (issued.key.pk, digest(token.encode(), OLD))
    row = ApiKey.objects.get()
    assert (row.pepper, row.digest) == (2, digest(token.encode(), NEW))
    assert rows.count() == 0
    assert show(token).key_id == issued.key.pk
    use_ring(monkeypatch, f"2:{text(NEW)}")
    assert show(token).key_id == issued.key.pk


def test_a_key_that_changed_meanwhile_is_not_moved(monkeypatch):
    key = make_key().key
    moves = [repepper.Move(key.pk, "0" * 64, "1" * 64)]
    assert repepper.move(moves, 2) == 0
    assert ApiKey.objects.get().digest == key.digest


def test_the_same_secret_is_taken_under_any_pepper(monkeypatch):
    given = Secret("sk-given-by-hand-0123")
    make_key(secret=given)
    use_ring(monkeypatch, f"2:{text(NEW)},1:{text(OLD)}")
    with pytest.raises(errors.KeyTaken):
        make_key(secret=given)


def imports(text: str, **more):
    return key_import.import_digests(text=text, who=OWNER, actor=None, **more)


def test_a_key_of_another_gateway_goes_on_working(at_once):
    client = make_client(aliases=[make_alias(name="small")])
    done = imports(f"client,name,digest,aliases\n{client.name},ci,{SHA.upper()},small\n")
    assert (len(done.keys), done.problems) == (1, [])
    row = ApiKey.objects.get()
    assert (row.digest_scheme, row.pepper, row.name) == ("sha256", None, "ci")
    assert show(FOREIGN).aliases == {"small"}
    row.refresh_from_db()
    assert (row.digest_scheme, row.pepper) == ("hmac", 1)
    assert row.digest == digest(FOREIGN.encode(), OLD)
    assert show(FOREIGN).key_id == row.pk
    again = imports(f"client,name,digest\n{client.name},ci,{SHA}\n")
    assert (again.keys, again.present, again.problems) == ([], 1, [])
    assert AuditEvent.objects.filter(action="key.imported").count() == 1


def test_no_stored_value_is_a_credential(at_once):
    imports(f"client,digest\n{make_client().name},{SHA}\n")
    make_key()
    for row in ApiKey.objects.values():
        for value in row.values():
            token = str(value).encode()
            if 20 <= len(token) <= 256 and token.isascii() and b" " not in token:
                assert show(token.decode()) is None


def test_the_words_of_litellm_are_understood():
    client = make_client()
    listed = f"""{{"keys": [{{"token": "{SHA}", "key_alias": "ci", "key_name": "sk-...ab12",
        "models": [], "blocked": true, "expires": "2099-01-01T00:00:00", "spend": 1.5,
        "metadata": {{"owner": "data", "n": 3}}}}]}}"""
    assert imports(listed, client=client).problems == []
    row = ApiKey.objects.get()
    assert (row.name, row.hint, row.is_active) == ("ci", "sk-…ab12", False)
    assert (row.expires_at.year, row.labels) == (2099, {"owner": "data"})


def test_every_wrong_row_is_told_with_its_line_and_nothing_is_imported():
    client = make_client()
    taken = make_key(client=client, name="taken")
    good = f"{client.name},good,{'a' * 64},,,"
    text = "\n".join(
        [
            "client,name,digest,aliases,scopes,networks",
            good,
            f"{client.name},x,{FOREIGN},,,",
            f"nobody,x,{'b' * 64},,,",
            f"{client.name},{taken.key.name},{'c' * 64},,,",
            f"{client.name},y,{'a' * 64},,,",
            f"{client.name},z,{'d' * 64},unheard-of,,",
            f"{client.name},u,{'e' * 64},,everything,",
            f"{client.name},v,{'f' * 64},,,10.0.0.1/8",
        ]
    )
    done = imports(text)
    assert [(one.line, one.field) for one in done.problems] == [
        (3, "digest"), (4, "client"), (5, "name"), (6, "digest"), (7, "aliases"), (8, "scopes"),
        (9, "networks"),
    ]  # fmt: skip
    assert FOREIGN not in " ".join(map(str, done.problems))
    assert ApiKey.objects.count() == 1


def test_a_dry_run_writes_nothing():
    client = make_client()
    done = imports(f"digest\n{SHA}\n", client=client, dry_run=True)
    assert [key.name for key in done.keys] == [f"imported-{SHA[:8]}"]
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    "text", ["", "digest\n", "[1]", "[", "{}", "digest,colour\na,b\n", "a,b\n1,2,3\n",
             '"digest\n', "[" * 100_000]
)  # fmt: skip
def test_what_is_no_list_is_refused(text):
    with pytest.raises(key_import.Unreadable):
        imports(text, client=make_client())


def test_replacing_a_secret_puts_it_under_the_newest(monkeypatch):
    key = make_key().key
    use_ring(monkeypatch, f"2:{text(NEW)},1:{text(OLD)}")
    services.replace_secret(key=key, secret=Secret("sk-given-by-hand-0123"))
    assert ApiKey.objects.get().pepper == 2


@pytest.mark.parametrize("ring", [[OLD, NEW], [OLD]])
def test_a_process_with_the_rings_older_order_drops_a_key_that_was_moved_and_revoked(
    monkeypatch, ring
):
    """Processes get a new ring one after the other."""
    use_ring(monkeypatch, f"1:{text(OLD)}")
    secret = credentials.issue_secret()
    services.issue_key(client=make_client(), name="ci", actor=None, secret=Secret(secret))
    known = bearers.answer([Asker(ring).question(secret.encode())])

    async def load(_):
        return known

    cache = KeyCache(load, asker=Asker(ring))
    asyncio.run(cache.get(secret.encode()))
    monkeypatch.setattr(repepper, "soon", repepper.move)
    use_ring(monkeypatch, f"2:{text(NEW)},1:{text(OLD)}")
    assert show(secret)
    assert ApiKey.objects.get().pepper == 2
    services.revoke_keys(keys=ApiKey.objects.all(), actor=None)
    for told in Announcement.objects.all():
        if told.topic == "accounts.key":
            cache.drop(told.subject)
        elif told.topic == "accounts.holder":
            cache.drop_holder(told.subject)
    assert cache.find(secret.encode()) is None


def test_last_uses_of_many_keys_are_booked_at_once():
    client = make_client()
    ApiKey.objects.bulk_create(
        ApiKey(client=client, name=f"k{n}", digest=f"{n:064x}", hint="") for n in range(1200)
    )
    at = clock.now()
    used = dict.fromkeys(ApiKey.objects.values_list("pk", flat=True), at)
    key_use.book(used)
    assert ApiKey.objects.filter(last_used_at=at).count() == 1200
    key_use.book(dict.fromkeys(used, at + timedelta(seconds=30)))
    assert ApiKey.objects.filter(last_used_at=at).count() == 1200
    key_use.book(dict.fromkeys(used, at + timedelta(seconds=61)))
    assert not ApiKey.objects.filter(last_used_at=at).exists()
