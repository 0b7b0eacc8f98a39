from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from apps.configuration import announce, revisions
from apps.configuration.models import Announcement, Revision
from chatvault.lib import clock
from tests.factories import make_team

pytestmark = pytest.mark.django_db


def test_word_is_read_once_in_order():
    start = announce.newest_id()
    announce.after_commit("accounts.key", "one")
    announce.after_commit("configuration.revision", "7")
    last, news = announce.since(start)
    assert news == [("accounts.key", "one"), ("configuration.revision", "7")]
    assert (news[0].topic, news[0].subject) == ("accounts.key", "one")
    assert last == announce.newest_id()
    assert announce.since(last) == (last, [])


def test_word_of_what_was_taken_back_is_never_heard():
    start = announce.newest_id()
    with pytest.raises(RuntimeError), transaction.atomic():
        announce.after_commit("accounts.key", "one")
        raise RuntimeError
    assert announce.since(start)[1] == []


def test_old_word_is_forgotten():
    announce.after_commit("accounts.key", "old")
    announce.after_commit("accounts.key", "new")
    old = Announcement.objects.filter(subject="old")
    old.update(created_at=clock.now() - announce.KEPT - timedelta(seconds=1))
    announce.prune()
    assert [row.subject for row in Announcement.objects.all()] == ["new"]


def test_old_word_does_not_pile_up():
    ago = clock.now() - timedelta(days=2)
    for _ in range(300):
        announce.after_commit("accounts.key", "x")
        Announcement.objects.update(created_at=ago)
    assert Announcement.objects.count() < 300


def test_a_revision_is_recorded_when_something_differs():
    first = revisions.record(source="admin", actor=None, comment="c" * 300)
    assert first.document == {"version": 1}
    assert len(first.comment) == 255
    assert revisions.record(source="admin", actor=None) == first
    make_team(name="a")
    second = revisions.record(source="admin", actor=None)
    assert second.pk > first.pk
    assert second.digest == revisions.digest_of({"teams": [{"name": "a"}], "version": 1})
    assert revisions.latest() == second
    assert revisions.latest_id() == second.pk
    assert Revision.objects.count() == 2


def test_a_digest_does_not_depend_on_the_order_of_fields():
    one = {"version": 1, "teams": [{"name": "a", "active": False}]}
    two = {"teams": [{"active": False, "name": "a"}], "version": 1}
    assert revisions.digest_of(one) == revisions.digest_of(two)
    assert revisions.digest_of(one) != revisions.digest_of(one | {"teams": []})
