"""The page of rate limits: bars, who is closest, refusals with their table."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils.html import strip_tags

from apps.billing import quota_history, quota_uses
from chatvault.lib import clock
from tests.factories import make_alias, make_client, make_person, make_quota, make_team, make_user

pytestmark = pytest.mark.django_db
URL = "admin:usage_rate_limits"


def browser_of(person: Any) -> Browser:
    browser = Browser()
    browser.force_login(person)
    return browser


@pytest.fixture
def owner() -> Browser:
    return browser_of(make_user(is_staff=True, is_superuser=True))


@pytest.fixture
def used():
    yield lambda counts: quota_uses.register(lambda quotas: counts)
    quota_uses.register(None)


def text_of(browser: Browser, query: str = "") -> str:
    answer = browser.get(f"{reverse(URL)}?{query}")
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", strip_tags(answer.content.decode()))


def test_the_closest_comes_first_with_its_bar_and_what_it_refused(owner, used):
    far = make_quota(client=make_client(name="calm"))
    near = make_quota(alias=make_alias(name="busy"), observes=True)
    used({far.pk: 3, near.pk: 57})
    quota_history.add(int(clock.wall_s() * 1000), [(near.pk, 0, 41), (far.pk, 7, 0)])
    text = text_of(owner)
    assert text.index("57 of 60 · 3 left") < text.index("3 of 60 · 57 left")
    assert "busy" in text and "only observes" in text
    html = owner.get(reverse(URL)).content.decode()
    assert '<meter class="cv-meter" min="0" max="60" value="57"' in html
    assert "Clients" in text and "Models" in text
    assert re.search(r"7 0 .*0 41|0 41 .*7 0", text)


def test_filters_narrow_and_nonsense_narrows_nothing(owner, used):
    make_quota(client=make_client(name="calm"))
    make_quota(alias=make_alias(name="busy"), unit="tokens")
    used({})
    assert "calm" not in text_of(owner, "scope=alias") and "busy" in text_of(owner, "scope=alias")
    assert "busy" not in text_of(owner, "unit=requests")
    assert "no active quota that fits" in text_of(owner, "mode=observes")
    assert "busy" in text_of(owner, "scope=x&unit=y&team=-1&hours=9999&mode=z")
    assert "no active quota that fits" in text_of(owner, "q=%25%25%25")


def test_a_lead_sees_the_teams_own_and_a_stranger_nothing(used):
    team = make_team()
    make_quota(client=make_client(name="ours", team=team))
    make_quota(client=make_client(name="theirs"))
    make_quota(alias=make_alias(name="everybodys"))
    used({})
    text = text_of(browser_of(make_person("admin", team)))
    assert "ours" in text
    assert "theirs" not in text and "everybodys" not in text
    assert browser_of(make_user(is_staff=True)).get(reverse(URL)).status_code == 302


def test_counters_that_cannot_be_asked_are_said_to_be_unknown(owner):
    make_quota()
    assert "The counters cannot be asked" in text_of(owner)


def test_the_number_of_queries_does_not_grow(owner, used, django_assert_max_num_queries):
    for _ in range(12):
        make_quota()
    used({})
    with django_assert_max_num_queries(14):
        owner.get(reverse(URL))
