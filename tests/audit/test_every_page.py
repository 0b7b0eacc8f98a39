"""Every page of the admin leaves an event for what it changes: also one that is made tomorrow."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.db.models import Model
from django.http import HttpRequest
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import reverse

from apps.audit.admin_log import AuditedAdmin
from apps.audit.models import AuditEvent
from apps.audit.verify import verify
from apps.configuration.models import ScheduledJob
from tests import factories
from tests.audit.pages import posted
from tests.factories import make_key, make_membership, make_user
from tests.factories.alerts import make_channel

pytestmark = pytest.mark.django_db

Change = tuple[Callable[[], Model], dict[str, str]]


def _issuer() -> Model:
    from apps.accounts.models import TrustedIssuer

    return TrustedIssuer.objects.create(
        name="outside", issuer="https://issuer.example", audiences=["chatvault"]
    )


def _outside_provider() -> Model:
    from apps.sign_in.models import IdentityProvider

    return IdentityProvider.objects.create(
        name="outside", slug="outside", kind="google", client_id="chatvault"
    )


def _rate() -> Model:
    from apps.invoicing.models import ExchangeRate

    return ExchangeRate.objects.create(currency="EUR", day="2026-10-01", rate="1.1")


def _rule() -> Model:
    from apps.invoicing.models import MatchRule

    return MatchRule.objects.create(provider=factories.make_provider(), billed_model="x")


CHANGES: dict[str, Change] = {
    "alerts.channel": (make_channel, {"name": "renamed"}),
    "accounts.team": (factories.make_team, {"description": "new words"}),
    "accounts.client": (factories.make_client, {"description": "new words"}),
    "accounts.apikey": (lambda: make_key().key, {"name": "renamed"}),
    "accounts.user": (make_user, {"first_name": "Grace"}),
    "accounts.trustedissuer": (_issuer, {"name": "renamed"}),
    "sign_in.identityprovider": (_outside_provider, {"name": "renamed"}),
    "providers.provider": (
        lambda: factories.make_provider(base_url="https://api.example.com/v1"),
        {"name": "renamed"},
    ),
    "providers.credential": (factories.make_credential, {"name": "renamed"}),
    "providers.deployment": (factories.make_deployment, {"name": "renamed"}),
    "providers.alias": (lambda: factories.make_world().alias, {"name": "renamed"}),
    "billing.quota": (factories.make_quota, {"ceiling": "7"}),
    "billing.budget": (factories.make_budget, {"amount_usd": "7"}),
    "billing.pricebook": (factories.make_price_book, {"name": "renamed"}),
    "billing.price": (factories.make_price, {"input_usd": "1.4"}),
    "billing.pricingtier": (factories.make_tier, {"name": "renamed"}),
    "invoicing.exchangerate": (_rate, {"source": "elsewhere"}),
    "invoicing.matchrule": (_rule, {"billed_model": "renamed"}),
}
"""By page: a row, and what to write into its form. A page that is not here fails the test."""

ELSEWHERE: dict[str, str] = {
    "configuration.scheduledjob": "test_the_timetable_is_recorded",
    "sign_in.invitation": "test_an_invitation_is_recorded_without_its_link",
    "oauth.application": "tests/oauth",
    "oauth.initialaccesstoken": "tests/oauth",
    "repricing.repricing": "tests/repricing",
    "forecasts.whatif": "tests/forecasts",
    "billing.budgetraise": "tests/billing/test_budget_raises.py",
    "usage.usageexport": "tests/usage/reports/test_exports.py",
    "usage.errorgroup": "test_what_is_said_of_an_error_is_recorded",
    "billing.cataloguechange": "test_an_action_is_recorded_with_the_rows_that_were_chosen",
}
"""Pages whose changes are buttons or services of their own, and the tests of these."""


@pytest.fixture
def owner() -> Any:
    return make_user(username="ada", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(owner: Any) -> Browser:
    browser = Browser()
    browser.force_login(owner)
    return browser


def request_of(user: Any) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    return request


def writable(page: ModelAdmin[Any], user: Any) -> bool:
    request = request_of(user)
    return (
        page.has_add_permission(request)
        or page.has_change_permission(request)
        or page.has_delete_permission(request)
    )


def test_every_page_that_changes_something_is_audited_and_tested(owner: Any) -> None:
    pages = {m._meta.label_lower: p for m, p in admin.site._registry.items() if writable(p, owner)}
    assert {label for label, page in pages.items() if not isinstance(page, AuditedAdmin)} == set()
    assert pages.keys() - CHANGES.keys() - ELSEWHERE.keys() == set()


@pytest.mark.parametrize("label", CHANGES)
def test_a_change_leaves_an_event_of_its_author(browser: Browser, owner: Any, label: str) -> None:
    make, values = CHANGES[label]
    row = make()
    since = AuditEvent.objects.count()
    app, model = label.split(".")
    posted(browser, reverse(f"admin:{app}_{model}_change", args=[row.pk]), **values)
    events = list(AuditEvent.objects.filter(id__gt=since))
    ((name, value),) = values.items()
    (event,) = [each for each in events if each.target_type == label and name in each.after]
    assert (event.actor_kind, event.actor, event.user_id) == ("person", "ada", owner.pk)
    assert event.target_id == str(row.pk) or label == "billing.price"  # the one that follows it
    assert event.address == "127.0.0.1"
    assert event.request_id
    assert str(event.after[name]) == value
    assert event.before[name] != event.after[name]
    assert {each.request_id for each in events} == {event.request_id}
    assert verify().findings == 0


@pytest.mark.parametrize("label", CHANGES)
def test_a_deletion_leaves_an_event_with_what_was(browser: Browser, owner: Any, label: str) -> None:
    make, _ = CHANGES[label]
    row = make()
    app, model = label.split(".")
    page = admin.site._registry[type(row)]
    if not page.has_delete_permission(request_of(owner), row):
        pytest.skip("nobody deletes such a row")
    since = AuditEvent.objects.count()
    answer = browser.post(reverse(f"admin:{app}_{model}_delete", args=[row.pk]), {"post": "yes"})
    if type(row)._default_manager.filter(pk=row.pk).exists():
        assert not AuditEvent.objects.filter(id__gt=since, target_type=label).exists()
        assert answer.status_code in (200, 302)
        return
    event = AuditEvent.objects.filter(id__gt=since, target_type=label).first()
    assert event is not None
    assert event.target_id == str(row.pk)
    assert event.before


@pytest.mark.parametrize("label", CHANGES)
def test_what_cannot_be_recorded_is_not_changed(
    browser: Browser, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, values = CHANGES[label]
    row = make()
    app, model = label.split(".")
    before = type(row)._default_manager.filter(pk=row.pk).values().get()

    def broken(*_: Any) -> str:
        raise RuntimeError("the trail is broken")

    monkeypatch.setattr("apps.audit.chain.hash_of", broken)
    with pytest.raises(RuntimeError, match="the trail is broken"):
        posted(browser, reverse(f"admin:{app}_{model}_change", args=[row.pk]), **values)
    assert type(row)._default_manager.filter(pk=row.pk).values().get() == before


def test_rows_on_the_page_of_another_are_recorded_with_it(browser: Browser) -> None:
    membership = make_membership(role="member")
    url = reverse("admin:accounts_team_change", args=[membership.team.pk])
    posted(browser, url, **{"memberships-0-role": "viewer"})
    events = AuditEvent.objects.filter(team_id=membership.team.pk)
    told = [f"{each.before} {each.after}" for each in events]
    assert any("member" in text and "viewer" in text for text in told)


def test_a_secret_that_was_entered_is_not_in_the_trail(browser: Browser) -> None:
    credential = factories.make_credential()
    url = reverse("admin:providers_credential_change", args=[credential.pk])
    posted(browser, url, new_secret="sk-entered-9x8y7z6w5v")
    told = str(list(AuditEvent.objects.values()))
    assert "9x8y7z6w5v" not in told
    (event,) = AuditEvent.objects.filter(action="credential.changed")
    assert event.after == {"new_secret": "***"}


def test_a_row_and_its_secret_are_two_events(browser: Browser) -> None:
    provider = factories.make_provider(base_url="https://api.example.com/v1")
    url = reverse("admin:providers_credential_add")
    secret = "sk-entered-9x8y7z6w5v"
    posted(browser, url, provider=str(provider.pk), name="main", new_secret=secret)
    told = AuditEvent.objects.filter(topic="credential").order_by("id")
    assert [each.action for each in told] == ["credential.secret_set", "credential.added"]
    assert told[1].after["name"] == "main"
    assert "9x8y7z6w5v" not in str(list(AuditEvent.objects.values()))


def test_a_password_that_was_changed_is_recorded_without_it(browser: Browser) -> None:
    person = make_user(username="bob")
    url = reverse("admin:auth_user_password_change", args=[person.pk])
    password = "correct horse battery staple"
    browser.post(url, {"password1": password, "password2": password, "usable_password": "true"})
    person.refresh_from_db()
    assert person.check_password(password)
    (event,) = AuditEvent.objects.filter(action="user.changed")
    assert (event.target, event.after) == ("bob", {"password": "***"})


def test_the_timetable_is_recorded(browser: Browser) -> None:
    from apps.configuration import timetable
    from chatvault.beat import TIMETABLE

    timetable.sync(TIMETABLE)
    job = ScheduledJob.objects.get(name="verify-ledger")
    url = reverse("admin:configuration_scheduledjob_change", args=[job.pk])
    posted(browser, url, at="05:15")
    changed = AuditEvent.objects.get(action="scheduledjob.changed")
    assert (changed.before["at"], changed.after["at"]) == ("03:10:00", "05:15:00")
    listed = reverse("admin:configuration_scheduledjob_changelist")
    for action in ("pause_selected", "continue_selected", "restore_selected"):
        browser.post(listed, {"action": action, "_selected_action": [job.pk], "index": "0"})
    told = AuditEvent.objects.filter(topic="job").order_by("id")
    assert [each.action for each in told] == ["job.paused", "job.continued", "job.restored"]
    assert told[2].before["due"] == "daily at 05:15 UTC"


def test_an_invitation_is_recorded_without_its_link(browser: Browser) -> None:
    team = factories.make_team()
    url = reverse("admin:sign_in_invitation_add")
    page = posted(browser, url, email="bob@example.com", role="member", team=str(team.pk))
    told = [str(each) for each in page.wsgi_request._messages]
    events = list(AuditEvent.objects.filter(topic="invitation"))
    assert [each.action for each in events] == ["invitation.made"]
    (token,) = {word for text in told for word in re.findall(r"/([A-Za-z0-9_-]{20,})/", text)}
    assert token not in str(list(AuditEvent.objects.values()))


def test_what_is_said_of_an_error_is_recorded(browser: Browser) -> None:
    from apps.usage.models import ErrorGroup
    from chatvault.lib import clock

    now = clock.now()
    group = ErrorGroup.objects.create(
        pk=1, kind="attempt", code="upstream_timeout", count=1, first_seen=now, last_seen=now,
        state_at=now,
    )  # fmt: skip
    browser.post(reverse("admin:usage_errorgroup_state", args=[group.pk, "resolved"]))
    event = AuditEvent.objects.get()
    assert event.action == "error.resolved"
    assert list(event.after.values()) == ["resolved"]


def test_an_action_is_recorded_with_the_rows_that_were_chosen(browser: Browser) -> None:
    quotas = [factories.make_quota(ceiling=number) for number in (5, 6)]
    data = {"action": "deactivate", "_selected_action": [q.pk for q in quotas], "index": "0"}
    browser.post(reverse("admin:billing_quota_changelist"), data)
    event = AuditEvent.objects.get(action="quota.deactivate")
    assert event.after == {"rows": [str(each) for each in reversed(quotas)], "count": 2} or (
        event.after == {"rows": [str(each) for each in quotas], "count": 2}
    )
    revision = AuditEvent.objects.get(action="configuration.changed")
    assert revision.request_id == event.request_id
    assert len(revision.after) > 1


def test_a_bulk_deletion_is_recorded_row_by_row(browser: Browser) -> None:
    tiers = [factories.make_tier() for _ in range(3)]
    data = {"action": "delete_selected", "_selected_action": [t.pk for t in tiers], "post": "yes"}
    browser.post(reverse("admin:billing_pricingtier_changelist"), data)
    events = AuditEvent.objects.filter(action="pricingtier.deleted")
    assert {each.target_id for each in events} == {str(tier.pk) for tier in tiers}


def test_a_save_that_changes_nothing_leaves_nothing(browser: Browser) -> None:
    team = factories.make_team()
    posted(browser, reverse("admin:accounts_team_change", args=[team.pk]))
    since = AuditEvent.objects.count()
    posted(browser, reverse("admin:accounts_team_change", args=[team.pk]))
    assert AuditEvent.objects.count() == since
