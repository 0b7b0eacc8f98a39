from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.configuration.models import Revision
from apps.providers import services
from apps.providers.models import Alias, Credential, Deployment, Provider
from chatvault.settings.upstream import UpstreamSettings
from tests.factories import (
    make_alias,
    make_client,
    make_credential,
    make_deployment,
    make_person,
    make_provider,
    make_user,
)

pytestmark = pytest.mark.django_db

SECRET = "sk-canary-0123456789"


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:providers_{name}", args=args)


def provider_form(provider: Provider | None = None, **fields: Any) -> dict[str, Any]:
    """What the browser posts for a provider with its credentials."""
    credentials = list(provider.credentials.all()) if provider else []
    data = {
        "name": "mine",
        "family": "openai",
        "base_url": "https://provider.example/v1",
        "options": "",
        "is_active": "on",
        "credentials-TOTAL_FORMS": str(len(credentials)),
        "credentials-INITIAL_FORMS": str(len(credentials)),
        "deployments-TOTAL_FORMS": "0",
        "deployments-INITIAL_FORMS": "0",
    }
    for index, credential in enumerate(credentials):
        data |= {
            f"credentials-{index}-id": str(credential.pk),
            f"credentials-{index}-provider": str(credential.provider_id),
            f"credentials-{index}-name": credential.name,
            f"credentials-{index}-is_active": "on",
        }
    return data | fields


def new_credential(secret: str) -> dict[str, str]:
    return {
        "credentials-TOTAL_FORMS": "1",
        "credentials-0-name": "main",
        "credentials-0-new_secret": secret,
        "credentials-0-is_active": "on",
    }


def errors_of(response: Any) -> str:
    assert response.status_code == 200
    form = response.context["adminform"].form
    formsets = [each.formset for each in response.context["inline_admin_formsets"]]
    return str(form.errors) + "".join(str(each.errors) for each in formsets)


def told(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_a_provider_and_its_secret_are_made_in_one_form(browser):
    answer = browser.post(page("provider_add"), provider_form(**new_credential(SECRET)))
    assert answer.status_code == 302
    credential = Credential.objects.get()
    assert services.open_credential(credential).reveal() == SECRET
    assert credential.origin == "https://provider.example:443"
    revision = Revision.objects.get()
    assert revision.comment == "Added provider mine"
    assert SECRET not in str(revision.document)


def test_a_reference_is_kept_as_one(browser):
    browser.post(page("provider_add"), provider_form(**new_credential("env:MY_KEY")))
    assert Credential.objects.get().secret == "env:MY_KEY"


@pytest.mark.parametrize("secret", ["", "env:CHATVAULT_KEY_PEPPER", "file:relative", "cv1:x:y"])
def test_what_is_no_secret_is_refused(browser, secret):
    answer = browser.post(page("provider_add"), provider_form(**new_credential(secret)))
    assert "new_secret" in errors_of(answer)
    assert not Provider.objects.exists()
    assert not Revision.objects.exists()


def test_a_stored_secret_is_never_shown(browser):
    credential = make_credential(secret=SECRET)
    pages = [
        page("provider_change", credential.provider_id),
        page("credential_change", credential.pk),
        page("credential_changelist"),
        page("provider_changelist"),
    ]
    for url in pages:
        html = browser.get(url).content.decode()
        assert SECRET not in html
        assert credential.secret not in html


def test_an_empty_secret_keeps_the_stored_one(browser):
    credential = make_credential(secret=SECRET)
    provider = credential.provider
    data = provider_form(provider, name="renamed", base_url=provider.base_url)
    assert browser.post(page("provider_change", provider.pk), data).status_code == 302
    credential.refresh_from_db()
    assert credential.provider.name == "renamed"
    assert services.open_credential(credential).reveal() == SECRET


def test_another_host_removes_the_secret_and_says_so(browser):
    credential = make_credential(secret=SECRET)
    provider = credential.provider
    data = provider_form(provider, base_url="https://elsewhere.example/v1")
    answer = browser.post(page("provider_change", provider.pk), data, follow=True)
    credential.refresh_from_db()
    assert credential.secret == ""
    assert any("was removed" in text for text in told(answer))


def test_a_secret_entered_with_the_new_host_stays(browser):
    credential = make_credential(secret=SECRET)
    provider = credential.provider
    data = provider_form(
        provider,
        base_url="https://elsewhere.example/v1",
        **{"credentials-0-new_secret": "sk-new-0123456789"},
    )
    answer = browser.post(page("provider_change", provider.pk), data, follow=True)
    credential = Credential.objects.get()
    assert services.open_credential(credential).reveal() == "sk-new-0123456789"
    assert not any("was removed" in text for text in told(answer))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://host/v1", "http or https"),
        ("https://user:pw@host.example/v1", "user name"),
        ("https://host.example/v1?key=1", "question mark"),
        ("https://ho st/v1", "http or https"),
        ("https://host.example:99999/v1", "port"),
    ],
)
def test_a_base_url_that_the_guard_would_not_take_is_refused(browser, url, reason):
    answer = browser.post(page("provider_add"), provider_form(base_url=url))
    assert reason in errors_of(answer)
    assert not Provider.objects.exists()


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("http://127.0.0.1:8080/v1", "127.0.0.1:8080"),
        ("http://ollama:11434/v1", "ollama:11434"),
        ("https://public.example:8443/v1", "public.example:8443"),
    ],
)
def test_an_address_that_is_not_listed_is_saved_with_a_warning(browser, url, listed):
    answer = browser.post(page("provider_add"), provider_form(base_url=url), follow=True)
    assert Provider.objects.get().base_url == url
    assert any(f"CHATVAULT_PRIVATE_HOSTS={listed} " in text for text in told(answer))


def test_a_public_address_is_saved_without_a_warning(browser):
    answer = browser.post(page("provider_add"), provider_form(), follow=True)
    assert not any("CHATVAULT_PRIVATE_HOSTS" in text for text in told(answer))


def test_the_usual_address_is_filled_in(browser):
    browser.post(page("provider_add"), provider_form(family="anthropic", base_url=""))
    assert Provider.objects.get().base_url == "https://api.anthropic.com"


@pytest.mark.parametrize("options", ['{"vendr": "x"}', '{"vendor": "nobody"}', "[1]", "{"])
def test_options_that_the_family_does_not_know_are_refused(browser, options):
    answer = browser.post(page("provider_add"), provider_form(options=options))
    assert "options" in errors_of(answer)
    assert not Provider.objects.exists()


def test_a_deployment_takes_its_own_providers_credential_only(browser):
    provider, stranger = make_provider(), make_credential()
    data = {
        "name": "m@p",
        "provider": provider.pk,
        "credential": stranger.pk,
        "model": "m",
        "is_active": "on",
    }
    answer = browser.post(page("deployment_add"), data)
    assert "This is a credential of" in answer.content.decode()
    assert not Deployment.objects.exists()


def test_an_alias_is_made_with_its_targets(browser):
    first, second = make_deployment(), make_deployment()
    data = {
        "name": "chat",
        "strategy": "weighted",
        "is_active": "on",
        "targets-TOTAL_FORMS": "2",
        "targets-INITIAL_FORMS": "0",
        "targets-0-deployment": first.pk,
        "targets-0-weight": "3",
        "targets-0-position": "0",
        "targets-1-deployment": second.pk,
        "targets-1-weight": "1",
        "targets-1-position": "1",
    }
    assert browser.post(page("alias_add"), data).status_code == 302
    html = browser.get(page("alias_changelist")).content.decode()
    assert f"{first} 75 %" in html
    assert f"{second} 25 %" in html


def test_testing_tells_what_failed(browser):
    provider = make_provider(base_url="http://127.0.0.1:9/v1")
    deployment = make_deployment(provider=provider)
    answer = browser.post(page("deployment_test", deployment.pk), follow=True)
    assert any("CHATVAULT_PRIVATE_HOSTS" in text for text in told(answer))
    assert browser.get(page("deployment_test", deployment.pk)).status_code == 405


def test_testing_asks_the_provider(browser, upstream, settings):
    allowed = UpstreamSettings(private_hosts=(f"127.0.0.1:{upstream.port}",))
    settings.CHATVAULT = replace(settings.CHATVAULT, upstream=allowed)
    provider = make_provider(base_url=upstream.openai_url)
    credential = make_credential(provider=provider, secret=SECRET)
    deployment = make_deployment(provider=provider, credential=credential)
    for name, row in (("credential", credential), ("deployment", deployment)):
        data = {"action": "test_connection", "_selected_action": row.pk, "index": "0"}
        answer = browser.post(page(f"{name}_changelist"), data, follow=True)
        assert any(" ms" in text for text in told(answer)), told(answer)
    assert [each.method for each in upstream.seen] == ["GET", "POST"]
    assert not Revision.objects.exists()


def test_testing_needs_the_permission_to_change():
    browser = Browser()
    browser.force_login(make_person("viewer"))
    deployment = make_deployment()
    assert browser.post(page("deployment_test", deployment.pk)).status_code == 403


def test_switching_off_from_the_list_is_a_revision(browser):
    rows = [make_deployment(), make_deployment()]
    data = {"action": "deactivate", "_selected_action": [row.pk for row in rows], "index": "0"}
    browser.post(page("deployment_changelist"), data)
    assert Deployment.objects.filter(is_active=False).count() == 2
    assert Revision.objects.count() == 1


@pytest.mark.parametrize("name", ["provider", "credential", "deployment", "alias"])
def test_lists_cost_the_same_for_many_rows(browser, name, django_assert_num_queries):
    def add(count: int) -> None:
        for _ in range(count):
            credential = make_credential()
            deployment = make_deployment(provider=credential.provider, credential=credential)
            alias = make_alias(targets=[deployment, make_deployment(), make_deployment()])
            make_client(aliases=[alias])

    add(1)
    url = page(f"{name}_changelist")
    browser.get(url)
    with CaptureQueriesContext(connection) as few:
        browser.get(url)
    add(9)
    with django_assert_num_queries(len(few)):
        assert browser.get(url).status_code == 200
    assert len(few) <= 8
    assert Alias.objects.count() == 10


@pytest.mark.parametrize("name", ["provider", "credential", "deployment", "alias"])
def test_who_may_only_look_sees_the_pages_and_changes_nothing(name):
    browser = Browser()
    browser.force_login(make_person("auditor"))
    credential = make_credential(secret=SECRET)
    deployment = make_deployment(provider=credential.provider, credential=credential)
    alias = make_alias(targets=[deployment])
    rows = {"provider": credential.provider, "credential": credential}
    row = (rows | {"deployment": deployment, "alias": alias})[name]
    assert browser.get(page(f"{name}_changelist")).status_code == 200
    html = browser.get(page(f"{name}_change", row.pk)).content.decode()
    assert "Test connection" not in html
    assert SECRET not in html
    before = type(row).objects.values().get(pk=row.pk)
    answer = browser.post(page(f"{name}_change", row.pk), {"name": "changed"})
    assert answer.status_code == 403
    data = {"action": "deactivate", "_selected_action": row.pk, "index": "0"}
    browser.post(page(f"{name}_changelist"), data)
    assert type(row).objects.values().get(pk=row.pk) == before
