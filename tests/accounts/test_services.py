from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts import bearers, errors, keys, services
from apps.accounts.credentials import Question, digest, is_well_formed
from apps.accounts.models import ApiKey, Client
from apps.configuration import announce
from apps.configuration.models import Announcement
from chatvault.lib import clock
from chatvault.lib.redact import Secret
from tests.factories import make_alias, make_client, make_key, make_user

pytestmark = pytest.mark.django_db

GIVEN = "sk-given-by-hand-0123"


def announced() -> set[str]:
    return {subject for topic, subject in announce.since(0)[1] if topic == "accounts.key"}


def test_an_issued_key_is_known_by_its_digest_alone():
    ada = make_user()
    alias = make_alias()
    expiry = clock.now() + timedelta(days=1)
    client = make_client()
    issued = services.issue_key(
        client=client, name="ci", actor=ada, expires_at=expiry, aliases=[alias]
    )
    token = issued.secret.reveal()
    assert is_well_formed(token.encode())
    row = ApiKey.objects.get()
    assert row.digest == digest(token.encode(), keys.pepper())
    assert row.hint == f"{token[:6]}…{token[-4:]}"
    assert row.created_by == ada
    assert token not in repr(ApiKey.objects.values()) + repr(issued) + str(issued)
    record = keys.find_key_record(row.digest)
    assert (record.key_id, record.client_id, record.name) == (row.pk, client.pk, "ci")
    assert record.is_active
    assert record.expires_at_s == pytest.approx(expiry.timestamp())
    assert record.aliases == {alias.name}
    assert announced() == {row.digest}


def test_a_given_key_is_taken_as_it_is():
    issued = make_key(secret=Secret(GIVEN))
    assert issued.secret.reveal() == GIVEN
    assert keys.find_key_record(digest(GIVEN.encode(), keys.pepper())).key_id == issued.key.pk


@pytest.mark.parametrize(
    "secret", ["x" * 19, "x" * 257, "with blank in it, long enough", "größer-als-zwanzig-zeichen",
               "cv_" + "A" * 49]
)  # fmt: skip
def test_an_unfit_key_is_refused_and_nothing_stored(secret):
    client = make_client()
    with pytest.raises(errors.KeyTooWeak) as caught:
        services.issue_key(client=client, name="ci", actor=None, secret=Secret(secret))
    assert secret not in str(caught.value)
    assert not ApiKey.objects.exists()
    assert not Announcement.objects.exists()


def test_a_key_belongs_to_one():
    make_key(secret=Secret(GIVEN))
    with pytest.raises(errors.KeyTaken):
        make_key(secret=Secret(GIVEN))
    assert ApiKey.objects.count() == 1


def test_a_name_is_used_once_in_a_client_also_when_revoked():
    issued = make_key(name="ci")
    services.revoke_keys(keys=ApiKey.objects.all(), actor=None)
    with pytest.raises(errors.KeyNameTaken):
        services.issue_key(client=issued.key.client, name="ci", actor=None)
    assert ApiKey.objects.count() == 1
    make_key(name="ci")


def test_replacing_a_secret_ends_the_old_one():
    issued = make_key()
    old = issued.key.digest
    services.replace_secret(key=issued.key, secret=Secret(GIVEN))
    new = digest(GIVEN.encode(), keys.pepper())
    assert keys.find_key_record(old) is None
    assert keys.find_key_record(new).key_id == issued.key.pk
    assert announced() == {old, new}


def test_replacing_with_the_secret_of_another_key_is_refused():
    make_key(secret=Secret(GIVEN))
    issued = make_key()
    before = issued.key.digest
    with pytest.raises(errors.KeyTaken):
        services.replace_secret(key=issued.key, secret=Secret(GIVEN))
    assert ApiKey.objects.get(pk=issued.key.pk).digest == before


def test_disabled_keys_are_known_as_disabled_and_come_back():
    one, two = make_key().key, make_key().key
    Announcement.objects.all().delete()
    assert services.disable_keys(keys=ApiKey.objects.filter(pk=one.pk), actor=None) == 1
    assert keys.find_key_record(one.digest).is_active is False
    assert keys.find_key_record(two.digest).is_active is True
    assert announced() == {one.digest}
    assert services.disable_keys(keys=ApiKey.objects.filter(pk=one.pk), actor=None) == 0
    assert services.enable_keys(keys=ApiKey.objects.all(), actor=None) == 1
    assert keys.find_key_record(one.digest).is_active is True


def test_revoked_keys_are_unknown_for_good():
    key = make_key().key
    assert services.revoke_keys(keys=ApiKey.objects.all(), actor=None) == 1
    assert services.revoke_keys(keys=ApiKey.objects.all(), actor=None) == 0
    assert services.enable_keys(keys=ApiKey.objects.all(), actor=None) == 0
    assert keys.find_key_record(key.digest) is None
    with pytest.raises(errors.KeyRevoked):
        services.replace_secret(key=ApiKey.objects.get(), secret=Secret(GIVEN))


def test_suspended_clients_disable_their_keys():
    one, other = make_key().key, make_key().key
    Announcement.objects.all().delete()
    chosen = Client.objects.filter(pk=one.client_id)
    assert services.suspend_clients(clients=chosen, actor=None) == 1
    assert services.suspend_clients(clients=chosen, actor=None) == 0
    assert keys.find_key_record(one.digest).is_active is False
    assert keys.find_key_record(other.digest).is_active is True
    assert announced() == {one.digest}
    assert services.resume_clients(clients=chosen, actor=None) == 1
    assert keys.find_key_record(one.digest).is_active is True


def test_a_closed_team_disables_its_keys():
    key = make_key().key
    key.client.team.is_active = False
    key.client.team.save()
    assert keys.find_key_record(key.digest).is_active is False


def test_many_keys_are_announced_as_all():
    client = make_client()
    ApiKey.objects.bulk_create(
        ApiKey(client=client, name=f"k{n}", digest=f"{n:064x}", hint="") for n in range(101)
    )
    assert services.disable_keys(keys=ApiKey.objects.all(), actor=None) == 101
    assert announced() == {""}


def test_records_of_many_keys_are_found_in_two_queries():
    digests = [make_key(aliases=[make_alias()]).key.digest for _ in range(20)]
    with CaptureQueriesContext(connection) as queries:
        found = keys.find_key_records([*digests, "0" * 64])
    assert set(found) == set(digests)
    assert len(queries) == 2


def test_the_registry_answers_by_the_digest_of_the_question():
    key = make_key().key
    asked = [
        Question("shown", "key", ("0" * 64, key.digest)),
        Question("stranger", "key", ("1" * 64,)),
        Question("unheard-of", "jwt"),
    ]
    found = bearers.answer(asked)
    assert {name: record.key_id for name, record in found.items()} == {"shown": key.pk}
    assert found["shown"].stored == key.digest
