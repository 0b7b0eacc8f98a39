"""Keys on their pages: shown once, recognised by a hint, revoked for good."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.sessions.models import Session
from django.test import Client as Browser
from django.urls import reverse

from apps.accounts import services
from apps.accounts.models import ApiKey, Client
from apps.configuration import announce
from apps.configuration.models import Revision
from chatvault.lib import clock
from chatvault.lib.redact import Secret
from tests.factories import make_alias, make_client, make_key, make_user

pytestmark = pytest.mark.django_db

ADD = "admin:accounts_apikey_add"
LIST = "admin:accounts_apikey_changelist"
CHANGE = "admin:accounts_apikey_change"
SECRET = re.compile(r"cv_[A-Za-z0-9]{20,}")
NO_RULES = {
    f"{prefix}-{name}": "0"
    for prefix in ("quotas", "budgets")
    for name in ("TOTAL_FORMS", "INITIAL_FORMS")
}


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(username="ada", is_staff=True, is_superuser=True))
    return browser


def issue(browser: Browser, client: Client, **fields: Any) -> Any:
    data = {"client": client.pk, "name": "ci", "is_active": "on", "scopes": ["inference"]}
    data |= NO_RULES | fields
    return browser.post(reverse(ADD), data)


def act(browser: Browser, name: str, *keys: ApiKey) -> Any:
    data = {"action": name, "_selected_action": [key.pk for key in keys], "index": "0"}
    return browser.post(reverse(LIST), data)


def test_a_new_key_is_in_the_answer_and_nowhere_else(browser, caplog):
    client = make_client(name="notebook", aliases=[make_alias(name="gpt-4o-mini")])
    with caplog.at_level("DEBUG"):
        answer = issue(browser, client)
    page = answer.content.decode()
    (secret,) = set(SECRET.findall(page))
    key = ApiKey.objects.get()
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert services.digest_of(Secret(secret)) == key.digest
    assert key.created_by.username == "ada"
    assert "http://testserver/v1" in page
    assert "gpt-4o-mini" in page
    assert secret not in caplog.text
    assert "Location" not in answer
    _assert_kept_nowhere(browser, key, secret)


def _assert_kept_nowhere(browser: Browser, key: ApiKey, secret: str) -> None:
    for row in (*LogEntry.objects.values(), *Revision.objects.values(), *ApiKey.objects.values()):
        assert secret not in str(row)
    for session in Session.objects.all():
        assert secret not in str(session.get_decoded())
    assert all(secret not in morsel.value for morsel in browser.cookies.values())
    assert CookieStorage.cookie_name not in browser.cookies
    for url in (reverse(LIST), reverse(CHANGE, args=[key.pk])):
        page = browser.get(url).content.decode()
        assert key.hint in page
        assert secret not in page
        assert key.digest not in page


def test_issuing_is_a_revision_and_is_announced(browser):
    client = make_client(name="notebook")
    issue(browser, client)
    assert Revision.objects.get().comment == "Added API key notebook / ci"
    topics = {each.topic for each in announce.since(0)[1]}
    assert topics == {"accounts.key", "accounts.holder", "configuration.revision"}


def test_the_same_form_again_makes_no_second_key(browser):
    client = make_client(name="notebook")
    issue(browser, client)
    again = issue(browser, client)
    page = again.content.decode()
    assert "notebook has a key of this name. Choose another one." in page
    assert SECRET.findall(page) == []
    assert ApiKey.objects.count() == 1


def test_a_key_may_not_have_what_its_client_may_not(browser):
    client = make_client(name="notebook", aliases=[make_alias(name="small")])
    big = make_alias(name="big")
    page = issue(browser, client, aliases=[big.pk]).content.decode()
    assert "notebook may not use big. Allow it there first." in page
    assert not ApiKey.objects.exists()
    client.may_use_all_aliases = True
    client.save()
    issue(browser, client, aliases=[big.pk])
    assert list(ApiKey.objects.get().aliases.all()) == [big]


def test_a_key_that_would_be_born_expired_is_refused(browser):
    past = {"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}
    page = issue(browser, make_client(), **past).content.decode()
    assert "This moment has passed." in page
    assert not ApiKey.objects.exists()


def test_a_race_for_a_name_is_told_in_words(browser, monkeypatch):
    client = make_client()
    monkeypatch.setattr("apps.accounts.admin.keys.KeyForm.clean", lambda form: form.cleaned_data)
    monkeypatch.setattr(
        "apps.accounts.admin.keys.KeyForm._post_clean",
        lambda form: form.instance.__dict__.update(client_id=client.pk, name="ci"),
    )
    make_key(client=client, name="ci")
    answer = issue(browser, client)
    assert answer.status_code == 302
    assert "The client has a key of this name." in browser.get(reverse(ADD)).content.decode()
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "live"),
        ({"is_active": False}, "disabled"),
        ({"expires_at": clock.now() - timedelta(days=1)}, "expired"),
        ({"revoked_at": clock.now(), "is_active": False}, "revoked"),
    ],
)
def test_the_list_tells_and_filters_by_status(browser, fields, status):
    key = make_key(name="wanted").key
    ApiKey.objects.filter(pk=key.pk).update(**fields)
    for each in ("live", "disabled", "suspended", "expired", "revoked"):
        page = browser.get(reverse(LIST), {"status": each})
        shown = [row.pk for row in page.context["cl"].result_list]
        assert shown == ([key.pk] if each == status else [])


def test_keys_of_a_suspended_client_are_suspended(browser):
    key = make_key(client=make_client(is_active=False)).key
    page = browser.get(reverse(LIST), {"status": "suspended"})
    assert [row.pk for row in page.context["cl"].result_list] == [key.pk]


def test_disabling_enabling_and_revoking_many(browser):
    keys = [make_key().key for _ in range(3)]
    act(browser, "disable", *keys)
    assert not ApiKey.objects.filter(is_active=True).exists()
    act(browser, "enable", *keys)
    assert ApiKey.objects.filter(is_active=True).count() == 3
    act(browser, "revoke", *keys[:2])
    act(browser, "enable", *keys)
    assert list(ApiKey.objects.filter(is_active=True)) == keys[2:]
    assert ApiKey.objects.filter(revoked_at__isnull=False).count() == 2
    digests = {each.subject for each in announce.since(0)[1] if each.topic == "accounts.key"}
    assert digests == {key.digest for key in keys}


def test_a_revoked_key_stays_visible_and_cannot_be_revived(browser):
    key = make_key(name="old").key
    act(browser, "revoke", key)
    before = ApiKey.objects.values().get()
    url = reverse(CHANGE, args=[key.pk])
    assert "revoked" in browser.get(url).content.decode()
    forged = {"name": "new", "is_active": "on", "revoked_at": ""} | NO_RULES
    assert browser.post(url, forged).status_code == 403
    assert ApiKey.objects.values().get() == before


def test_keys_are_not_deleted(browser):
    key = make_key().key
    url = reverse("admin:accounts_apikey_delete", args=[key.pk])
    assert browser.post(url, {"post": "yes"}).status_code == 403
    act(browser, "delete_selected", key)
    assert ApiKey.objects.filter(pk=key.pk).exists()


def test_a_change_is_announced_and_keeps_secret_and_client(browser):
    key = make_key(name="ci").key
    other = make_client()
    data = {"name": "laptop", "client": other.pk, "digest": "0" * 64, "scopes": ["inference"]}
    data |= NO_RULES
    browser.post(reverse(CHANGE, args=[key.pk]), data)
    changed = ApiKey.objects.get()
    assert (changed.name, changed.is_active) == ("laptop", False)
    assert (changed.client_id, changed.digest) == (key.client_id, key.digest)
    assert ("accounts.key", key.digest) in announce.since(0)[1]
