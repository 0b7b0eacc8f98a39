"""The admin's pages: secrets are shown once, and never again, found or listed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.test import Client as Browser
from django.urls import reverse

from apps.oauth.generators import digest
from apps.oauth.models import (
    AccessToken,
    Application,
    DeviceGrant,
    Grant,
    IDToken,
    InitialAccessToken,
    RefreshToken,
)
from chatvault.lib import clock
from tests.factories import make_person
from tests.factories.accounts import make_client, make_team, make_user
from tests.oauth.kit import REDIRECT, api, make_scene

pytestmark = pytest.mark.django_db

PAGES = {
    "application": Application,
    "refreshtoken": RefreshToken,
    "accesstoken": AccessToken,
    "initialaccesstoken": InitialAccessToken,
}


@pytest.fixture
def browser():
    browser = Browser()
    browser.force_login(make_user(username="ada", is_superuser=True))
    return browser


def page_of(name, *args):
    return reverse(f"admin:oauth_{name}", args=args)


def filled(**more):
    return {
        "name": "Notes",
        "description": "",
        "homepage": "",
        "is_active": "on",
        "authorization_grant_type": "authorization-code",
        "client_type": "confidential",
        "redirect_uris": REDIRECT,
        "scopes": ["inference"],
    } | more


def test_an_application_is_registered_and_its_secret_shown_once(browser):
    client = make_client()
    answer = browser.post(page_of("application_add"), filled(payer=client.pk))
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    row = Application.objects.get()
    secret = answer.context["secret"]
    assert len(secret) == 128
    assert secret in answer.content.decode()
    for url in (page_of("application_change", row.pk), page_of("application_changelist")):
        text = browser.get(url).content.decode()
        assert secret not in text
        assert row.client_secret not in text
    assert row.user.username == "ada"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"redirect_uris": "http://app.example/cb"}, "redirect_uris"),
        ({"redirect_uris": "https://*.example/cb"}, "redirect_uris"),
        ({"redirect_uris": ""}, "redirect_uris"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["owner"]}, "scopes"),
        ({"name": " "}, "name"),
        (
            {"authorization_grant_type": "client-credentials", "client_type": "public"},
            "client_type",
        ),
        ({"authorization_grant_type": "implicit"}, "authorization_grant_type"),
        ({"authorization_grant_type": "password"}, "authorization_grant_type"),
    ],
)
def test_wrong_forms_say_where(browser, more, field):
    answer = browser.post(page_of("application_add"), filled(payer=make_client().pk) | more)
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert Application.objects.count() == 0


def test_a_new_secret_is_shown_once(browser):
    scene = make_scene()
    data = {"action": "new_secret", "_selected_action": [scene.application.pk]}
    answer = browser.post(page_of("application_changelist"), data)
    secret = answer.context["secret"]
    code = scene.code()
    assert scene.exchange(code).status_code == 401
    from apps.oauth.services import Issued
    from chatvault.lib.redact import Secret

    assert scene.exchange(code, by=Issued(scene.application, Secret(secret))).status_code == 200


def test_disabling_refuses_tokens_and_enabling_takes_them(browser):
    scene = make_scene()
    token = scene.tokens()["access_token"]
    for action, status in (("disable", 401), ("enable", 200)):
        data = {"action": action, "_selected_action": [scene.application.pk]}
        browser.post(page_of("application_changelist"), data)
        assert api(token).status_code == status


def test_an_initial_token_is_shown_once_and_revoked(browser):
    data = {
        "name": "for notes",
        "payer": make_client().pk,
        "scopes": ["inference"],
        "max_uses": 3,
        "expires_at_0": f"{clock.now() + timedelta(days=3):%Y-%m-%d}",
        "expires_at_1": "12:00:00",
    }
    answer = browser.post(page_of("initialaccesstoken_add"), data)
    secret = answer.context["secret"]
    row = InitialAccessToken.objects.get()
    assert (row.digest, row.max_uses) == (digest(secret), 3)
    text = browser.get(page_of("initialaccesstoken_changelist")).content.decode()
    assert secret not in text
    assert row.digest not in text
    data = {"action": "revoke", "_selected_action": [row.pk]}
    browser.post(page_of("initialaccesstoken_changelist"), data)
    row.refresh_from_db()
    assert row.revoked_at is not None


@pytest.mark.parametrize("page", ["refreshtoken", "accesstoken"])
def test_what_was_issued_is_revoked_together(browser, page):
    scene = make_scene()
    pair = scene.tokens()
    text = browser.get(page_of(f"{page}_changelist")).content.decode()
    assert scene.application.name in text
    rows = list(PAGES[page].objects.values_list("pk", flat=True))
    browser.post(page_of(f"{page}_changelist"), {"action": "revoke", "_selected_action": rows})
    assert api(pair["access_token"]).status_code == 401
    assert scene.refresh(pair["refresh_token"]).status_code == 400


def test_no_page_shows_or_searches_what_is_secret(browser):
    """DOT #1735, #1736; promises 1D: lists, searches, titles, forms."""
    scene = make_scene()
    pair = scene.tokens()
    code = scene.code()
    for model in (Grant, IDToken, DeviceGrant):
        assert model not in admin.site._registry
    for name, model in PAGES.items():
        made = admin.site._registry[model]
        assert type(made).__module__.startswith("apps.oauth.admin")
        shown = {*made.list_display, *made.search_fields, *made.get_list_filter(None)}
        assert not {"token", "token_checksum", "code", "client_secret", "digest"} & {
            each for each in shown if isinstance(each, str)
        }
        url = page_of(f"{name}_changelist")
        for canary in (*pair.values(), code):
            if isinstance(canary, str) and len(canary) > 20:
                assert canary not in browser.get(url).content.decode()
                assert digest(canary) not in browser.get(url).content.decode()
        for row in model.objects.all():
            answer = browser.get(page_of(f"{name}_change", row.pk))
            assert answer.status_code == 200
            for column in ("token_checksum", "client_secret", "digest", "registration_digest"):
                value = getattr(row, column, "")
                assert not value or value not in answer.content.decode()
        for lookup in ("token_checksum__startswith", "client_secret__startswith", "digest__gt"):
            assert browser.get(url, {lookup: "a"}).status_code in (302, 400)


@pytest.mark.parametrize("page", ["refreshtoken", "accesstoken"])
def test_what_was_issued_has_no_form(browser, page):
    scene = make_scene()
    scene.tokens()
    row = PAGES[page].objects.get()
    before = str(vars(row))
    assert browser.get(page_of(f"{page}_add")).status_code == 403
    browser.post(page_of(f"{page}_change", row.pk), {"scope": "admin", "user": 1})
    browser.post(page_of(f"{page}_delete", row.pk), {"post": "yes"})
    assert str(vars(PAGES[page].objects.get())).split("'id'")[1] == before.split("'id'")[1]


@pytest.mark.parametrize("page", PAGES)
def test_lists_ask_as_often_for_many_rows_as_for_one(browser, page, django_assert_max_num_queries):
    url = page_of(f"{page}_changelist")
    make_scene().tokens()
    browser.get(url)
    with django_assert_max_num_queries(30) as asked:
        assert browser.get(url).status_code == 200
        few = len(asked)
    for _ in range(4):
        make_scene().tokens()
    with django_assert_max_num_queries(few):
        assert browser.get(url).status_code == 200


def test_a_team_admin_sees_and_makes_applications_of_the_team_alone():
    mine, foreign = make_scene(role="admin"), make_scene()
    foreign.tokens()
    browser = Browser()
    browser.force_login(mine.user)
    text = browser.get(page_of("application_changelist")).content.decode()
    assert mine.application.name in text
    assert foreign.application.name not in text
    assert browser.get(page_of("application_change", foreign.application.pk)).status_code == 404
    assert (
        foreign.application.name
        not in browser.get(page_of("refreshtoken_changelist")).content.decode()
    )
    answer = browser.post(page_of("application_add"), filled(payer=foreign.application.payer_id))
    assert answer.status_code == 200
    assert "payer" in answer.context["adminform"].form.errors
    assert Application.objects.count() == 2


def test_nobody_lets_an_application_do_more_than_they_may(browser):
    team = make_team()
    person = make_person("operator", None)
    from apps.accounts.models import InstallationRole, Membership

    Membership.objects.create(user=person, team=team, role="admin")
    InstallationRole.objects.filter(user=person).delete()
    limited = Browser()
    limited.force_login(person)
    client = make_client(team=team)
    answer = limited.post(page_of("application_add"), filled(payer=client.pk, scopes=["admin"]))
    assert answer.status_code == 200
    assert Application.objects.get().scopes == ["admin"]


@pytest.mark.parametrize("role", ["viewer", "member", "billing_admin", "operator"])
def test_others_have_no_such_pages(role):
    scene = make_scene(role=role)
    browser = Browser()
    browser.force_login(scene.user)
    for page in PAGES:
        assert browser.get(page_of(f"{page}_changelist")).status_code == 403
