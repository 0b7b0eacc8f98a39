"""The pages of revisions in words and times that people read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.configuration.models import Revision
from apps.configuration.problems import DocumentRefused
from tests.configuration.conftest import apply
from tests.factories import make_document, make_user

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 23, 16, 19, 5, tzinfo=UTC)


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(username="ada", is_staff=True, is_superuser=True))
    return browser


def test_who_has_no_name_is_told_by_the_way_it_came(browser):
    apply(make_document())
    Revision.objects.update(created_at=AT)
    html = browser.get(reverse("admin:configuration_revision_changelist")).content.decode()
    assert "configuration document" in html
    assert "2026-11-23 16:19:05 UTC" in html


def test_the_page_of_a_revision_has_one_full_stop_after_its_time(browser):
    apply(make_document())
    Revision.objects.update(created_at=AT)
    page = reverse("admin:configuration_revision_change", args=[Revision.objects.get().pk])
    html = " ".join(browser.get(page).content.decode().split())
    assert "2026-11-23 16:19:05 UTC. The first revision." in html


def test_an_amount_may_be_zero_but_not_less():
    document = make_document()
    document["clients"][0]["budgets"] = [{"amount_usd": "-0.01"}]
    with pytest.raises(DocumentRefused) as caught:
        apply(document)
    assert [problem.hint for problem in caught.value.problems] == [
        "Write one that is not negative."
    ]
