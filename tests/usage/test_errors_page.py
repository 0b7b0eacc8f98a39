"""The errors in the admin: found, read, acknowledged, and told where somebody looks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.usage import error_review
from apps.usage.models import ErrorGroup, ErrorHour
from chatvault.lib import clock, ids
from tests.factories import make_client, make_person, make_user
from tests.factories.providers import make_credential, make_deployment
from tests.factories.usage import make_request

pytestmark = pytest.mark.django_db

LIST = reverse("admin:usage_errorgroup_changelist")
HOME = reverse("admin:index")
State = ErrorGroup.State


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(username="ada", is_staff=True, is_superuser=True))
    return browser


def a_group(number: int = 1, **fields: object) -> ErrorGroup:
    now = clock.now()
    values = {
        "kind": "request", "code": "upstream_timeout", "deployment_id": 0, "client_id": 0,
        "count": 3, "first_seen": now - timedelta(hours=1), "last_seen": now,
    }  # fmt: skip
    return ErrorGroup.objects.create(pk=number, **(values | fields))


def state_url(state: str) -> str:
    return reverse("admin:usage_errorgroup_state", args=[1, state])


def shown(answer) -> list[int]:
    return [group.pk for group in answer.context["cl"].result_list]


def test_the_list_tells_what_where_and_how_often(browser):
    group = a_group(client_name="notebook", deployment_name="gpt@openai", deployment_id=7,
                    client_id=5, last_detail="status 504")  # fmt: skip
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    ErrorHour.objects.create(group_id=group.pk, hour=hour, count=2)
    ErrorHour.objects.create(group_id=group.pk, hour=hour - timedelta(hours=2), count=1)
    html = browser.get(LIST).content.decode()
    for text in ("upstream_timeout", "Failed request", "gpt@openai", "notebook", "Open"):
        assert text in html
    assert 'aria-label="3 from ' in html
    assert html.count("<rect") == 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [1, 2, 3]),
        ("state=pressing", [1, 3]),
        ("state=resolved", [2]),
        ("kind=fault", [3]),
        ("code=upstream_timeout", [1]),
        ("client=21", [1]),
        ("deployment=51", [2]),
        ("deployment=x", [1, 2, 3]),
        ("span=1h", [1, 2]),
        ("q=gateway.http", [3]),
        ("q=%25%25", []),
        ("q=nothing", []),
    ],
)
def test_errors_are_filtered_and_searched(browser, query, found):
    long_ago = clock.now() - timedelta(days=3)
    a_group(1, client_id=21)
    a_group(2, code="upstream_error", deployment_id=51, state=State.RESOLVED)
    a_group(3, kind="fault", code="ValueError", place="apps.gateway.http.answer",
            last_seen=long_ago)  # fmt: skip
    assert sorted(shown(browser.get(f"{LIST}?{query}"))) == found


def test_many_cost_as_few_queries_as_one(browser):
    a_group(1)
    browser.get(LIST)
    with CaptureQueriesContext(connection) as few:
        browser.get(LIST)
    for number in range(2, 40):
        a_group(number, code=f"code{number}")
        ErrorHour.objects.create(group_id=number, hour=clock.now(), count=1)
    with CaptureQueriesContext(connection) as many:
        assert len(shown(browser.get(LIST))) == 39
    assert len(many) == len(few) <= 10


def test_one_error_tells_its_latest_request(browser):
    request = make_request(outcome="error", error_code="upstream_timeout")
    group = a_group(last_request_id=request.request_id, last_detail="no answer")
    answer = browser.get(reverse("admin:usage_errorgroup_change", args=[group.pk]))
    html = answer.content.decode()
    assert reverse("admin:usage_requestlog_change", args=[request.pk]) in html
    assert "The provider did not answer in time." in html
    gone = a_group(2, last_request_id=ids.uuid7())
    html = browser.get(reverse("admin:usage_errorgroup_change", args=[gone.pk])).content.decode()
    assert "whose row is not in the request log" in html


def test_what_somebody_wrote_is_text(browser):
    group = a_group(last_detail="<script>alert(1)</script>", client_name="<b>x</b>", client_id=3)
    for url in (LIST, reverse("admin:usage_errorgroup_change", args=[group.pk])):
        html = browser.get(url).content.decode()
        assert "<script>alert(1)" not in html
        assert "<b>x</b>" not in html


def test_errors_are_acknowledged_resolved_and_opened_again(browser):
    a_group(1)
    a_group(2)
    post = {"action": "acknowledge", "_selected_action": [1, 2]}
    browser.post(LIST, post)
    assert set(ErrorGroup.objects.values_list("state", "state_by")) == {("acknowledged", "ada")}
    browser.post(state_url("resolved"))
    group = ErrorGroup.objects.get(pk=1)
    assert (group.state, group.state_by) == ("resolved", "ada")
    assert group.state_at is not None


def test_who_may_only_look_changes_nothing():
    a_group(1)
    browser = Browser()
    browser.force_login(make_person("viewer"))
    page = reverse("admin:usage_errorgroup_change", args=[1])
    assert "error-states" not in browser.get(page).content.decode()
    assert (
        browser.post(reverse("admin:usage_errorgroup_state", args=[1, "resolved"])).status_code
        == 403
    )
    browser.post(LIST, {"action": "resolve", "_selected_action": [1]})
    assert browser.post(page, {"count": 0}).status_code == 405
    assert ErrorGroup.objects.get(pk=1).state == State.OPEN
    assert ErrorGroup.objects.get(pk=1).count == 3


def test_states_are_set_by_post_and_known_words_only(browser):
    a_group(1)
    assert (
        browser.get(reverse("admin:usage_errorgroup_state", args=[1, "resolved"])).status_code
        == 405
    )
    assert (
        browser.post(reverse("admin:usage_errorgroup_state", args=[1, "gone"])).status_code == 404
    )


class TestACredentialThatIsRefused:
    @pytest.fixture
    def deployment(self):
        credential = make_credential()
        return make_deployment(
            name="gpt@openai", provider=credential.provider, credential=credential
        )

    @pytest.fixture
    def group(self, deployment) -> ErrorGroup:
        make_client()
        return a_group(
            kind="attempt", code=error_review.CREDENTIAL_REFUSED, deployment_id=deployment.pk,
            deployment_name=deployment.name,
        )  # fmt: skip

    def pages(self, deployment) -> list[str]:
        return [
            HOME,
            reverse("admin:providers_deployment_change", args=[deployment.pk]),
            reverse("admin:providers_credential_change", args=[deployment.credential_id]),
        ]

    def test_it_is_told_where_somebody_looks(self, browser, deployment, group):
        for url in self.pages(deployment):
            html = browser.get(url).content.decode()
            assert "the provider has refused its credential since" in html, url
            assert f"?deployment={deployment.pk}&amp;code=upstream_credential_refused" in html

    def test_it_is_told_no_more_once_it_works_or_is_resolved(self, browser, deployment, group):
        make_request(deployment_id=deployment.pk, started_at=clock.now() + timedelta(seconds=1))
        error_review.review()
        for url in self.pages(deployment):
            assert "has refused its credential" not in browser.get(url).content.decode()

    def test_several_clients_are_one_trouble(self, browser, deployment, group):
        earlier = clock.now() - timedelta(hours=5)
        a_group(2, kind="attempt", code=group.code, deployment_id=deployment.pk, client_id=9,
                deployment_name=deployment.name, first_seen=earlier)  # fmt: skip
        (trouble,) = browser.get(HOME).context["troubles"]
        assert (trouble.count, trouble.since) == (6, earlier)
