"""What the admin says on the way to a first answer: what is in the way, and what comes next."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
from django.core.paginator import UnorderedObjectListWarning
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.providers.models import Alias, Target
from chatvault.settings.upstream import UpstreamSettings
from tests.factories import (
    make_alias,
    make_client,
    make_credential,
    make_deployment,
    make_price,
    make_provider,
    make_user,
)

pytestmark = pytest.mark.django_db

CANARY = "sk-canary-0123456789"
UNSET = "FAKE_KEY is not set"


@pytest.fixture
def browser(monkeypatch) -> Browser:
    monkeypatch.delenv("FAKE_KEY", raising=False)
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:providers_{name}", args=args)


def html_of(browser: Browser, name: str, *args: Any) -> str:
    answer = browser.get(page(name, *args))
    assert answer.status_code == 200
    return answer.content.decode()


def told(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def with_secret(secret: str) -> Any:
    credential = make_credential(secret=secret)
    return make_deployment(provider=credential.provider, credential=credential)


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("env:FAKE_KEY", UNSET),
        ("file:/nowhere/key", "The file /nowhere/key cannot be read: No such file or directory"),
    ],
)
def test_a_secret_that_cannot_be_had_shows_on_every_page_that_needs_it(browser, secret, problem):
    deployment = with_secret(secret)
    alias = make_alias(targets=[deployment])
    assert f"missing: {problem}" in html_of(browser, "credential_changelist")
    assert f"missing: {problem}" in html_of(browser, "credential_change", deployment.credential.pk)
    assert f"secret missing: {problem}" in html_of(browser, "deployment_changelist")
    assert f"secret missing: {problem}." in html_of(browser, "deployment_change", deployment.pk)
    why = f"no usable deployment: {deployment}: secret missing: {problem}"
    assert f"Requests for it get 503, {why}." in html_of(browser, "alias_change", alias.pk)
    assert "no usable deployment: " in html_of(browser, "alias_changelist")


def test_a_secret_that_is_there_shows_nowhere(browser, monkeypatch):
    monkeypatch.setenv("FAKE_KEY", CANARY)
    deployment = with_secret("env:FAKE_KEY")
    alias = make_alias(targets=[deployment])
    for name, args in (
        ("credential_changelist", ()),
        ("credential_change", (deployment.credential.pk,)),
        ("deployment_changelist", ()),
        ("deployment_change", (deployment.pk,)),
        ("alias_changelist", ()),
        ("alias_change", (alias.pk,)),
    ):
        html = html_of(browser, name, *args)
        assert "missing" not in html
        assert "no usable deployment" not in html
        assert CANARY not in html


def test_an_alias_with_one_usable_deployment_is_ready(browser):
    make_alias(targets=[with_secret("env:FAKE_KEY"), make_deployment()])
    assert "no usable deployment" not in html_of(browser, "alias_changelist")


@pytest.mark.parametrize("name", ["credential", "deployment", "alias"])
def test_secrets_of_many_rows_cost_no_queries(browser, name):
    def add(count: int) -> None:
        for _ in range(count):
            make_alias(targets=[with_secret("env:FAKE_KEY"), with_secret("sk-sealed")])

    add(1)
    url = page(f"{name}_changelist")
    browser.get(url)
    with CaptureQueriesContext(connection) as few:
        browser.get(url)
    add(9)
    with CaptureQueriesContext(connection) as many:
        browser.get(url)
    assert len(many) == len(few) <= 8


def deployment_form(**fields: Any) -> dict[str, Any]:
    provider = fields.pop("provider", None) or make_provider()
    form = {"name": "m@p", "provider": provider.pk, "model": "m", "is_active": "on"}
    return form | fields


def test_saving_a_deployment_without_a_price_warns_and_links(browser):
    answer = browser.post(page("deployment_add"), deployment_form(), follow=True)
    text = next(text for text in told(answer) if "402" in text)
    assert text.startswith("No price book has a price for m: clients with a budget will get 402.")
    assert f'href="{reverse("admin:billing_price_add")}?model=m"' in text
    form = browser.get(f"{reverse('admin:billing_price_add')}?model=m").context["adminform"].form
    assert form["model"].value() == "m"


def test_saving_a_deployment_with_a_price_does_not_warn(browser):
    make_price(model="m")
    answer = browser.post(page("deployment_add"), deployment_form(), follow=True)
    assert not any("402" in text for text in told(answer))


def test_saving_a_deployment_whose_secret_is_missing_warns(browser):
    credential = make_credential(secret="env:FAKE_KEY")
    form = deployment_form(provider=credential.provider, credential=credential.pk)
    answer = browser.post(page("deployment_add"), form, follow=True)
    assert f"Gateways do not use m@p yet: secret missing: {UNSET}." in told(answer)


def alias_form(deployment: Any) -> dict[str, Any]:
    return {
        "name": "chat",
        "strategy": "weighted",
        "is_active": "on",
        "targets-TOTAL_FORMS": "1",
        "targets-INITIAL_FORMS": "0",
        "targets-0-deployment": deployment.pk,
        "targets-0-weight": "1",
        "targets-0-position": "0",
    }


def test_every_new_row_names_the_next_step(browser):
    form = {
        "name": "mine",
        "family": "openai",
        "base_url": "https://provider.example/v1",
        "is_active": "on",
        "credentials-TOTAL_FORMS": "0",
        "credentials-INITIAL_FORMS": "0",
        "deployments-TOTAL_FORMS": "0",
        "deployments-INITIAL_FORMS": "0",
    }
    answer = browser.post(page("provider_add"), form, follow=True)
    assert any("Next: add a credential" in text for text in told(answer))
    provider = make_provider()
    form = {"provider": provider.pk, "name": "main", "new_secret": "sk-1234567890"}
    answer = browser.post(page("credential_add"), form, follow=True)
    assert any(f"{page('deployment_add')}?provider={provider.pk}" in t for t in told(answer))
    answer = browser.post(page("deployment_add"), deployment_form(), follow=True)
    assert any(f"{page('alias_add')}?name=m&amp;deployment=" in text for text in told(answer))
    answer = browser.post(page("alias_add"), alias_form(make_deployment()), follow=True)
    clients = reverse("admin:accounts_client_changelist")
    assert any("Next: let clients use it" in t and clients in t for t in told(answer))


def test_links_choose_what_they_come_from(browser):
    provider = make_provider()
    deployment = make_deployment(provider=provider, model="m")
    link = f"{page('deployment_add')}?provider={provider.pk}"
    assert link in html_of(browser, "provider_change", provider.pk)
    form = browser.get(link).context["adminform"].form
    assert str(form["provider"].value()) == str(provider.pk)
    link = f"{page('alias_add')}?name=m&amp;deployment={deployment.pk}"
    assert link in html_of(browser, "deployment_change", deployment.pk)
    context = browser.get(link.replace("&amp;", "&")).context
    assert context["adminform"].form["name"].value() == "m"
    target = context["inline_admin_formsets"][0].formset.forms[0]
    assert str(target["deployment"].value()) == str(deployment.pk)


def test_an_alias_is_made_from_a_link_as_it_stands(browser):
    deployment = make_deployment()
    url = f"{page('alias_add')}?name=chat&deployment={deployment.pk}"
    assert browser.post(url, alias_form(deployment)).status_code == 302
    assert Target.objects.get(alias=Alias.objects.get()).deployment == deployment


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("http://127.0.0.1:9/v1", "127.0.0.1:9"),
        ("http://ollama:11434/v1", "ollama:11434"),
        ("https://public.example:8443/v1", "public.example:8443"),
    ],
)
def test_saving_and_testing_tell_the_same_value_to_set(browser, url, listed):
    deployment = make_deployment(provider=make_provider(base_url=url))
    answer = browser.post(page("deployment_test", deployment.pk), follow=True)
    text = next(text for text in told(answer) if text.startswith(f"{deployment}: "))
    assert f"set CHATVAULT_PRIVATE_HOSTS={listed} where ChatVault runs" in text
    assert text.endswith("Nothing was sent.")
    assert "80 (http)" not in text


def test_a_secret_that_the_provider_refuses_is_told_to_the_admin(browser, upstream, settings):
    allowed = UpstreamSettings(private_hosts=(f"127.0.0.1:{upstream.port}",))
    settings.CHATVAULT = replace(settings.CHATVAULT, upstream=allowed)
    credential = make_credential(provider=make_provider(base_url=upstream.openai_url))
    deployment = make_deployment(
        provider=credential.provider, credential=credential, model="fault:401"
    )
    answer = browser.post(page("deployment_test", deployment.pk), follow=True)
    text = next(text for text in told(answer) if text.startswith(f"{deployment}: "))
    assert text == (
        f"{deployment}: The provider refused the secret or what it may do (status 401). "
        "Enter the secret again, and check that its account may use this model."
    )


@pytest.mark.parametrize(
    ("app", "model", "field"),
    [
        ("providers", "deployment", "provider"),
        ("providers", "target", "deployment"),
        ("accounts", "client", "team"),
        ("accounts", "apikey", "client"),
        ("billing", "price", "book"),
        ("billing", "budget", "key"),
    ],
)
def test_pickers_are_in_order(browser, app, model, field):
    client = make_client()
    make_deployment()
    make_price()
    assert client.pk
    query = {"term": "", "app_label": app, "model_name": model, "field_name": field}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnorderedObjectListWarning)
        answer = browser.get(reverse("admin:autocomplete"), query)
    assert answer.status_code == 200
