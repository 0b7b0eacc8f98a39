"""Regular looks at deployments: who is asked for what, what is kept, what the admin shows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.configuration.models import JobRun
from apps.providers import health, services
from apps.providers.models import Probe
from apps.providers.tasks import probe_deployments
from chatvault.lib import clock
from chatvault.settings.upstream import UpstreamSettings
from tests.factories import make_credential, make_deployment, make_provider, make_user

pytestmark = pytest.mark.django_db

LIST = reverse("admin:providers_deployment_changelist")


@pytest.fixture
def reachable(upstream, monkeypatch):
    """A provider at the fake's address, and what it was asked."""
    network = services.probe.Network(private_hosts=("127.0.0.1",))
    monkeypatch.setattr(services, "network", lambda: network)
    return make_provider(base_url=upstream.openai_url)


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


def probed(deployment, *, ago_s: int = 0, is_ok: bool = True, **more) -> Probe:
    at = clock.now() - timedelta(seconds=ago_s)
    values = {"kind": "listed", "latency_ms": 12, **more}
    return Probe.objects.create(deployment=deployment, at=at, is_ok=is_ok, **values)


def test_one_question_for_all_that_share_a_credential(upstream, reachable):
    credential = make_credential(provider=reachable)
    rows = [make_deployment(provider=reachable, credential=credential) for _ in range(3)]
    probe_deployments()
    assert [seen.path for seen in upstream.seen] == ["/v1/models"]
    found = Probe.objects.order_by("deployment_id")
    assert [(each.deployment, each.is_ok, each.kind) for each in found] == [
        (row, True, "listed") for row in rows
    ]
    run = JobRun.objects.get()
    assert (run.name, run.state, run.done, run.total) == ("probe-deployments", "done", 3, 3)


def test_a_failure_says_what_is_wrong_and_no_secret(reachable):
    gone = make_provider(base_url="http://127.0.0.1:9/v1")
    credential = make_credential(provider=gone, secret="sk-canary-7531")
    make_deployment(provider=gone, credential=credential)
    probe_deployments()
    probe = Probe.objects.get()
    assert not probe.is_ok
    assert "Check the base URL" in probe.message
    assert "canary" not in probe.message


def test_an_address_that_is_not_allowed_is_not_called(upstream):
    make_deployment(provider=make_provider(base_url=upstream.openai_url))
    probe_deployments()
    assert upstream.seen == []
    assert Probe.objects.get().is_ok is False


def test_a_secret_that_cannot_be_had_is_told(reachable):
    credential = make_credential(provider=reachable, secret="env:NOT_SET_ANYWHERE")
    make_deployment(provider=reachable, credential=credential)
    probe_deployments()
    assert "NOT_SET_ANYWHERE" in Probe.objects.get().message


def test_the_inactive_and_the_young_are_left_alone(upstream, reachable):
    make_deployment(provider=reachable, is_active=False)
    make_deployment(provider=make_provider(base_url=upstream.openai_url, is_active=False))
    off = make_credential(provider=reachable, is_active=False)
    make_deployment(provider=reachable, credential=off)
    probed(make_deployment(provider=reachable), ago_s=30)
    probe_deployments()
    assert upstream.seen == []
    assert Probe.objects.count() == 1


def test_models_are_called_only_where_that_is_free_or_wanted(upstream, reachable, settings):
    demo = make_provider(family="demo", name="demo", base_url="")
    make_deployment(provider=demo, model="demo")
    row = make_deployment(provider=reachable, model="gpt-4o-mini")
    probe_deployments()
    assert [seen.path for seen in upstream.seen] == ["/v1/models"]
    kinds = dict(Probe.objects.values_list("deployment__provider__family", "kind"))
    assert kinds == {"demo": "called", "openai": "listed"}
    Probe.objects.update(at=clock.now() - timedelta(minutes=5))
    changed = settings.CHATVAULT.upstream.model_copy(update={"probe_calls": True})
    assert isinstance(changed, UpstreamSettings)
    object.__setattr__(settings.CHATVAULT, "upstream", changed)
    try:
        probe_deployments()
    finally:
        object.__setattr__(settings.CHATVAULT, "upstream", UpstreamSettings())
    assert upstream.seen[-1].path == "/v1/chat/completions"
    assert row.probes.first().kind == "called"


def test_old_probes_go(reachable):
    row = make_deployment(provider=reachable)
    probed(row, ago_s=15 * 86_400)
    kept = probed(row, ago_s=13 * 86_400)
    health.look(lambda *_: None)
    assert set(row.probes.filter(at__lt=clock.now() - timedelta(days=1))) == {kept}


def test_the_list_says_how_deployments_are(browser):
    fine, ill, never, _ = (make_deployment(name=name) for name in "abcd")
    probed(fine, ago_s=600, is_ok=False)
    probed(fine, latency_ms=1234)
    probed(ill, ago_s=7200)
    probed(ill, is_ok=False, message="no way")
    probed(never, is_ok=False)
    html = browser.get(LIST).content.decode()
    for text in ("answered in 1,234 ms", "no answer since 2", "never answered", "not probed yet"):
        assert text in html


def test_probes_cost_the_lists_a_fixed_number_of_queries(browser):
    pages = [LIST, reverse("admin:providers_probe_changelist")]
    probed(make_deployment())
    for page in pages:
        browser.get(page)
        with CaptureQueriesContext(connection) as few:
            browser.get(page)
        for _ in range(9):
            probed(make_deployment(provider=make_provider()), is_ok=False)
        with CaptureQueriesContext(connection) as many:
            assert browser.get(page).status_code == 200
        assert len(many) == len(few) <= 9


def test_the_page_shows_the_last_ones(browser):
    row = make_deployment()
    for number in range(12):
        probed(row, ago_s=number, is_ok=number != 3, message="<i>gone</i>")
    url = reverse("admin:providers_deployment_change", args=[row.pk])
    html = browser.get(url).content.decode()
    assert html.count("✓") == 9
    assert html.count("✗") == 1
    assert "&lt;i&gt;gone" in html
