"""A successor beside the old key: who has what, for how long, and who may ask for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apps.accounts import errors, keys, rotation, services
from apps.accounts.models import ApiKey
from apps.accounts.principals import of_machine
from apps.audit.models import AuditEvent
from apps.billing.models import Budget, Quota
from apps.configuration import announce
from chatvault.lib import clock
from tests.factories import (
    make_alias,
    make_budget,
    make_client,
    make_key,
    make_ledger_entry,
    make_quota,
)

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def machine(key: ApiKey):
    return of_machine(
        "key",
        key.name,
        scopes=key.scopes,
        team_id=key.client.team_id,
        client_id=key.client_id,
        key_id=key.pk,
    )


def test_both_keys_work_until_the_grace_has_passed():
    alias = make_alias()
    old = make_key(
        name="ci",
        client=make_client(aliases=[alias]),
        aliases=[alias],
        networks=["10.0.0.0/8"],
        labels={"owner": "data"},
        scopes=["inference", "usage:read"],
    )
    made = rotation.rotate_key(key=old.key, actor=None, grace=HOUR)
    before, after = ApiKey.objects.get(pk=old.key.pk), ApiKey.objects.get(pk=made.key.pk)
    assert after.name == "ci"
    assert before.name.startswith("ci until ")
    assert after.predecessor == before
    assert before.expires_at - before.rotated_at == HOUR
    assert made.key.predecessor.expires_at == before.expires_at
    assert (after.scopes, after.networks, after.labels) == (
        ["inference", "usage:read"], ["10.0.0.0/8"], {"owner": "data"},
    )  # fmt: skip
    assert list(after.aliases.all()) == [alias]
    assert after.expires_at is None
    record = keys.find_key_record(before.digest)
    assert record.is_active
    assert record.expires_at_s == pytest.approx(before.expires_at.timestamp())
    assert keys.find_key_record(after.digest).is_active
    assert {("accounts.key", before.digest), ("accounts.key", after.digest)} <= set(
        announce.since(0)[1]
    )
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert actions == {"key.issued", "key.rotated"}
    assert made.secret.reveal() not in str(list(AuditEvent.objects.values()))


def test_without_grace_the_old_key_ends_at_once():
    old = make_key()
    rotation.rotate_key(key=old.key, actor=None, grace=timedelta(0))
    row = ApiKey.objects.get(pk=old.key.pk)
    assert row.revoked_at is not None
    assert keys.find_key_record(row.digest) is None


def test_a_nearer_end_stays_and_the_successor_lives_as_long_as_the_old_one_was_made_to():
    end = clock.now() + timedelta(minutes=5)
    old = make_key(expires_at=end).key
    ApiKey.objects.filter(pk=old.pk).update(created_at=end - timedelta(days=90))
    made = rotation.rotate_key(key=old, actor=None, grace=HOUR)
    assert ApiKey.objects.get(pk=old.pk).expires_at == end
    assert made.key.predecessor.expires_at == end
    lives = made.key.expires_at - clock.now()
    assert timedelta(days=89, hours=23) < lives <= timedelta(days=90)


def test_a_key_is_rotated_once_and_a_revoked_one_never():
    old = make_key().key
    rotation.rotate_key(key=old, actor=None, grace=HOUR)
    with pytest.raises(errors.KeyRotated):
        rotation.rotate_key(key=old, actor=None, grace=HOUR)
    gone = make_key().key
    services.revoke_keys(keys=ApiKey.objects.filter(pk=gone.pk), actor=None)
    with pytest.raises(errors.KeyRevoked):
        rotation.rotate_key(key=gone, actor=None, grace=HOUR)
    assert ApiKey.objects.count() == 3


def test_a_name_is_free_again_after_each_rotation():
    key = make_key(name="n" * 100).key
    names = set()
    for _ in range(3):
        key = rotation.rotate_key(key=key, actor=None, grace=HOUR).key
        assert key.name == "n" * 100
    names = set(ApiKey.objects.values_list("name", flat=True))
    assert len(names) == 4
    assert max(map(len, names)) <= 100


def test_ceilings_go_along_and_what_is_left_of_a_life():
    old = make_key().key
    make_quota(key=old, unit="tokens", ceiling=500, window_s=3600)
    make_budget(key=old, amount_nano=1_000, period="total")
    make_budget(key=old, amount_nano=9_000, period="day")
    make_ledger_entry(key_id=old.pk, client_id=old.client_id, amount_nano=-400)
    new = rotation.rotate_key(key=old, actor=None, grace=HOUR).key
    quota = Quota.objects.get(key=new)
    assert (quota.unit, quota.ceiling, quota.window_s) == ("tokens", 500, 3600)
    amounts = dict(Budget.objects.filter(key=new).values_list("period", "amount_nano"))
    assert amounts == {"total": 600, "day": 9_000}
    assert Quota.objects.filter(key=old).exists()
    assert Budget.objects.filter(key=old).count() == 2


def test_nobody_gets_the_secret_of_a_key_that_may_more():
    client = make_client()
    mighty = make_key(client=client, scopes=["admin"]).key
    small = make_key(client=client, scopes=["inference", "keys:write"]).key
    with pytest.raises(errors.GrantExceeded):
        rotation.rotate_key(key=mighty, actor=None, who=machine(small), grace=HOUR)
    assert ApiKey.objects.count() == 2
    assert rotation.rotate_key(key=small, actor=None, who=machine(mighty), grace=HOUR)


def test_many_are_rotated_or_none():
    one, two = make_key().key, make_key().key
    rotation.rotate_key(key=two, actor=None, grace=HOUR)
    with pytest.raises(errors.AccountsError, match="was rotated already"):
        rotation.rotate_keys(keys=[one, ApiKey.objects.get(pk=two.pk)], actor=None, grace=HOUR)
    assert ApiKey.objects.count() == 3
    assert ApiKey.objects.get(pk=one.pk).rotated_at is None


def test_an_end_is_put_off_but_not_when_the_grace_is_over():
    soon, late = clock.now() + HOUR, clock.now() + timedelta(days=30)
    plain = make_key(expires_at=soon).key
    endless = make_key().key
    ended = make_key().key
    rotation.rotate_key(key=ended, actor=None, grace=HOUR)
    ApiKey.objects.filter(pk=ended.pk).update(expires_at=clock.now() - HOUR)
    assert services.extend_keys(keys=ApiKey.objects.all(), until=late) == 1
    assert ApiKey.objects.get(pk=plain.pk).expires_at == late
    assert ApiKey.objects.get(pk=endless.pk).expires_at is None
    assert ApiKey.objects.get(pk=ended.pk).expires_at < clock.now()
