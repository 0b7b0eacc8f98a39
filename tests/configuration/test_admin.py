from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import reverse

from apps.accounts.models import Team
from apps.configuration import announce, documents, revisions
from apps.configuration.models import Revision
from tests.configuration.conftest import CANARY, apply
from tests.factories import make_document, make_person, make_user, make_world

pytestmark = pytest.mark.django_db

LIST = "admin:configuration_revision_changelist"
DETAIL = "admin:configuration_revision_change"
RESTORE = "admin:configuration_revision_restore"


@pytest.fixture
def ada():
    return make_user(username="ada", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(ada) -> Browser:
    browser = Browser()
    browser.force_login(ada)
    return browser


@pytest.fixture
def post(browser, settings):
    """Posts to a page of the admin in `tests.configuration.urls`."""
    settings.ROOT_URLCONF = "tests.configuration.urls"

    def post(page: str, data: dict[str, Any], *args: Any) -> HttpResponse:
        return browser.post(reverse(f"bare:accounts_team_{page}", args=args), data)

    return post


def test_a_save_is_a_revision_of_its_author(post, ada):
    post("add", {"name": "research", "is_active": "on"})
    revision = Revision.objects.get()
    assert (revision.author, revision.source) == (ada, "admin")
    assert revision.comment == "Added team research"
    assert revision.document == {"version": 1, "teams": [{"name": "research"}]}
    assert announce.since(0)[1] == [("configuration.revision", str(revision.pk))]


def test_a_change_that_changes_nothing_is_no_revision(post):
    post("add", {"name": "research", "is_active": "on"})
    team = Team.objects.get()
    post("change", {"name": "research", "is_active": "on"}, str(team.pk))
    assert Revision.objects.count() == 1
    post("change", {"name": "research", "description": "x", "is_active": "on"}, str(team.pk))
    assert Revision.objects.first().comment == "Changed team research"
    assert Revision.objects.count() == 2


def test_a_form_with_an_error_is_no_revision(post):
    post("add", {"name": "no\nname"})
    assert not Team.objects.exists()
    assert not Revision.objects.exists()


def test_a_deletion_is_a_revision(post):
    post("add", {"name": "research", "is_active": "on"})
    post("delete", {"post": "yes"}, str(Team.objects.get().pk))
    assert Revision.objects.first().comment == "Deleted team research"
    assert Revision.objects.first().document == {"version": 1}


def test_an_action_is_a_revision(post):
    post("add", {"name": "research", "is_active": "on"})
    team = Team.objects.get()
    post("changelist", {"action": "close", "_selected_action": str(team.pk), "index": "0"})
    assert Revision.objects.first().comment == "Close: teams"
    assert Revision.objects.first().document["teams"] == [{"name": "research", "active": False}]


def test_an_action_that_fails_leaves_nothing(post):
    post("add", {"name": "research", "is_active": "on"})
    data = {"action": "fail", "_selected_action": str(Team.objects.get().pk), "index": "0"}
    with pytest.raises(RuntimeError):
        post("changelist", data)
    assert Team.objects.get().is_active
    assert Revision.objects.count() == 1


def test_the_list_and_the_diff_are_shown(browser):
    apply(make_document(), comment="set up")
    client = make_document()["clients"][0] | {"description": "<script>alert(1)</script>"}
    apply({"version": 1, "clients": [client]}, comment="describe")
    page = browser.get(reverse(LIST))
    assert page.status_code == 200
    assert "describe" in page.content.decode()
    shown = browser.get(reverse(DETAIL, args=[revisions.latest_id()])).content.decode()
    assert "clients[notebook].description" in shown
    assert "<script>alert" not in shown
    assert "Go back" not in shown
    first = browser.get(reverse(DETAIL, args=[Revision.objects.last().pk])).content.decode()
    assert "clients[notebook].keys[ci]" in first
    assert "Go back" in first


def test_going_back_asks_and_then_restores(browser, ada):
    apply(make_document())
    first = revisions.latest()
    before = documents.export()
    client = make_document()["clients"][0] | {"budgets": [], "description": "x"}
    apply({"version": 1, "teams": [{"name": "new"}], "clients": [client]})
    url = reverse(RESTORE, args=[first.pk])
    page = browser.get(url).content.decode()
    assert "clients[notebook].budgets[month]" in page
    assert documents.export() != before
    answer = browser.post(url)
    assert documents.export() == before
    latest = revisions.latest()
    assert latest.digest == first.digest
    assert (latest.comment, latest.author) == (f"Back to revision {first.pk}", ada)
    assert answer.url == reverse(DETAIL, args=[latest.pk])


def test_going_back_leaves_keys_alone():
    from apps.accounts import services
    from apps.accounts.models import ApiKey, Client
    from apps.configuration import restoring

    apply(make_document())
    first = revisions.latest()
    client = Client.objects.get()
    issued = services.issue_key(client=client, name="later", actor=None)
    services.revoke_keys(keys=ApiKey.objects.filter(name="ci"), actor=None)
    apply({"version": 1, "teams": [{"name": "research", "description": "x"}]})
    restoring.restore(revision=first, actor=None)
    assert Team.objects.get().description == ""
    assert ApiKey.objects.get(name="later").digest == issued.key.digest
    assert ApiKey.objects.get(name="ci").revoked_at is not None
    assert ApiKey.objects.count() == 2


def test_going_back_to_another_origin_removes_the_secret(browser):
    from apps.providers import services

    world = make_world(secret=CANARY)
    first = revisions.record(source="admin", actor=None)
    world.provider.base_url = "https://elsewhere.example/v1"
    world.provider.save()
    services.set_credential_secret(credential=world.credential, secret=CANARY)
    revisions.record(source="admin", actor=None)
    page = browser.get(reverse(RESTORE, args=[first.pk])).content.decode()
    assert "was removed: enter it again" in page
    assert CANARY not in page
    browser.post(reverse(RESTORE, args=[first.pk]))
    world.credential.refresh_from_db()
    assert world.credential.secret == ""
    assert documents.export()["providers"][0]["base_url"] == "https://provider.example/v1"


def test_a_credential_that_is_gone_comes_back_without_its_secret():
    from apps.configuration import restoring
    from apps.providers.models import Credential

    world = make_world(secret=CANARY)
    first = revisions.record(source="admin", actor=None)
    apply({"version": 1}, prune=True)
    applied = restoring.restore(revision=first, actor=None)
    assert Credential.objects.get().secret == ""
    assert applied.notes[0] == (
        f"The secret of {world.provider.name} / {world.credential.name} is gone: enter it again."
    )
    (lacking,) = applied.notes[1:]
    assert lacking.startswith(f"deployments[{world.deployment.name}].credential: ")


def test_nobody_edits_revisions(browser, rows):
    apply(make_document())
    before = rows()
    pk = revisions.latest_id()
    assert browser.get(reverse("admin:configuration_revision_add")).status_code == 403
    browser.post(reverse(DETAIL, args=[pk]), {"comment": "forged", "document": "{}"})
    url = reverse("admin:configuration_revision_delete", args=[pk])
    assert browser.post(url, {"post": "yes"}).status_code == 403
    assert rows()["configuration.Revision"] == before["configuration.Revision"]


@pytest.mark.parametrize("role", ["viewer", "auditor"])
def test_going_back_needs_a_permission(rows, role):
    apply(make_document())
    first = revisions.latest()
    apply({"version": 1, "teams": [{"name": "new"}]})
    browser = Browser()
    browser.force_login(make_person(role))
    before = rows()
    assert browser.get(reverse(RESTORE, args=[first.pk])).status_code == 403
    assert browser.post(reverse(RESTORE, args=[first.pk])).status_code == 403
    assert browser.get(reverse(DETAIL, args=[first.pk])).status_code == (
        200 if role == "auditor" else 403
    )
    assert rows()["accounts.Team"] == before["accounts.Team"]


@pytest.mark.parametrize("pk", ["0", "999999", "abc", "9" * 30])
def test_a_revision_that_is_not_there(browser, pk):
    assert browser.get(reverse(DETAIL, args=[pk])).status_code == 404
