"""Keys of clients and secrets of providers in documents."""

from __future__ import annotations

from copy import deepcopy

import pytest
import yaml

from apps.accounts.credentials import digest
from apps.accounts.keys import find_key_record, pepper
from apps.accounts.models import ApiKey
from apps.configuration import announce, documents
from tests.configuration.conftest import CANARY, EXAMPLE, apply, problems_of
from tests.factories import make_document, make_world

pytestmark = pytest.mark.django_db


def test_a_missing_given_key_refuses_the_document(rows):
    before = rows()
    assert problems_of(EXAMPLE) == [("clients[0].keys[0].secret", "TEAM_KEY is not set.")]
    assert rows() == before


@pytest.mark.parametrize("value", ["short", "with a blank in the middle", "cv_" + "A" * 49])
def test_a_given_key_that_is_unfit_is_refused(rows, monkeypatch, value):
    monkeypatch.setenv("TEAM_KEY", value)
    before = rows()
    found = problems_of(EXAMPLE)
    assert found == [("clients[0].keys[0].secret", "The given key is not fit to be one.")]
    assert rows() == before


def test_a_given_key_of_somebody_else_is_refused(rows, given_key):
    document = yaml.safe_load(EXAMPLE)
    document["clients"].append(deepcopy(document["clients"][0]) | {"name": "copycat"})
    before = rows()
    assert problems_of(document) == [("clients[1].keys[0].secret", "This key is in use already.")]
    assert rows() == before


def test_a_given_key_that_changed_replaces_the_old_one(monkeypatch, given_key):
    apply(EXAMPLE)
    seen = announce.newest_id()
    monkeypatch.setenv("TEAM_KEY", "sk-the-next-one-0123")
    assert apply(EXAMPLE).changed == ["clients[notebook].keys[ci]: secret"]
    old, new = (digest(t.encode(), pepper()) for t in (given_key, "sk-the-next-one-0123"))
    assert find_key_record(old) is None
    assert find_key_record(new).name == "ci"
    subjects = {subject for topic, subject in announce.since(seen)[1] if topic == "accounts.key"}
    assert subjects == {old, new}


def test_a_revoked_key_is_not_resurrected(rows):
    from apps.accounts import services

    apply(make_document())
    services.revoke_keys(keys=ApiKey.objects.all(), actor=None)
    assert "keys" not in documents.export()["clients"][0]
    before = rows()
    assert problems_of(make_document())[0][0] == "clients[0].keys[0].name"
    assert rows() == before


def test_a_changed_key_is_announced():
    apply(make_document())
    key = ApiKey.objects.get()
    seen = announce.newest_id()
    document = make_document()
    document["clients"][0]["keys"] = [
        {"name": "ci", "active": False, "expires_at": "2030-01-01T00:00:00Z"}
    ]
    assert apply(document).changed == ["clients[notebook].keys[ci]: active, expires_at"]
    assert ("accounts.key", key.digest) in announce.since(seen)[1]
    record = find_key_record(key.digest)
    assert record.is_active is False
    assert record.expires_at_s == 1893456000.0
    assert apply(documents.export(), prune=True).is_noop


def test_a_sealed_secret_is_exported_as_a_mark_that_leaves_it_alone(rows):
    make_world(secret=CANARY)
    exported = documents.export()
    mark = exported["providers"][0]["credentials"][0]["secret"]
    assert mark.startswith("sealed:")
    before = rows()
    assert apply(exported).is_noop
    exported["providers"][0]["credentials"][0]["secret"] = "sealed"
    assert apply(exported).is_noop
    after = rows()
    assert after["providers.Credential"] == before["providers.Credential"]


def test_the_mark_tells_that_a_secret_was_replaced():
    from apps.providers import services

    world = make_world(secret=CANARY)
    before = documents.export()
    services.set_credential_secret(credential=world.credential, secret=CANARY)
    assert documents.export() != before


def test_a_provider_does_not_move_and_leave_its_secret_behind(rows):
    world = make_world(secret=CANARY)
    exported = documents.export()
    exported["providers"][0]["base_url"] = "https://evil.example/v1"
    del exported["clients"]
    before = rows()
    (problem,) = problems_of(exported)
    assert problem[0] == "providers[0].base_url"
    assert world.credential.name in problem[1]
    del exported["providers"][0]["credentials"]
    assert problems_of(exported)[0][0] == "providers[0].base_url"
    assert rows() == before


def test_a_provider_moves_with_a_secret_given_anew():
    world = make_world(secret=CANARY)
    exported = documents.export()
    exported["providers"][0]["base_url"] = "https://other.example/v1"
    exported["providers"][0]["credentials"][0]["secret"] = "env:OTHER_KEY"
    apply(exported)
    world.credential.refresh_from_db()
    assert (world.credential.secret, world.credential.origin) == (
        "env:OTHER_KEY",
        "https://other.example:443",
    )


def test_a_provider_that_may_leave_its_secret_behind_loses_it():
    world = make_world(secret=CANARY)
    exported = documents.export()
    exported["providers"][0]["base_url"] = "https://other.example/v1"
    applied = apply(exported, may_wipe=True)
    world.credential.refresh_from_db()
    assert world.credential.secret == ""
    assert applied.notes[0] == (
        f"The secret of {world.provider.name} / {world.credential.name} was removed: "
        "enter it again."
    )
    (lacking,) = applied.notes[1:]
    assert lacking == (
        f"deployments[{world.deployment.name}].credential: The credential "
        f"{world.credential.name} of {world.provider.name} has no secret: requests fail. "
        "Mend the credential, or name another one."
    )


def test_another_path_at_the_same_origin_keeps_the_secret():
    world = make_world(secret=CANARY)
    before = world.credential.secret
    exported = documents.export()
    exported["providers"][0]["base_url"] = "https://provider.example/v2"
    apply(exported)
    world.credential.refresh_from_db()
    assert world.credential.secret == before
