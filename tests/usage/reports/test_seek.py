"""Deep pages of the request log are those that walking over all rows would show."""

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.usage.models import RequestLog
from apps.usage.reports.listing import page_at
from apps.usage.reports.query import Dimension, Scope
from apps.usage.reports.seek import Asked
from tests.factories import make_user
from tests.usage.reports.conftest import BEGIN, Usage

D = Dimension
LIST = reverse("admin:usage_requestlog_changelist")


@pytest.mark.parametrize("newest_first", [True, False], ids=["newest", "oldest"])
def test_every_page_holds_what_an_offset_over_all_rows_finds(usage: Usage, newest_first: bool):
    order = ("-started_at", "-pk") if newest_first else ("started_at", "pk")
    for filters, rows in (
        ({}, RequestLog.objects.all()),
        ({D.CLIENT: (2,)}, RequestLog.objects.filter(client_id=2)),
        ({D.OUTCOME: ("error",)}, RequestLog.objects.filter(outcome="error")),
        ({D.STATUS: (418,)}, RequestLog.objects.none()),
    ):
        asked = Asked(filters=filters, scope=Scope(), newest_first=newest_first)
        whole = list(rows.order_by(*order))
        for offset in range(0, len(whole) + 30, 30):
            found, total = page_at(asked, offset=offset, count=30)
            assert found == whole[offset : offset + 30]
            assert total == len(whole)


def test_a_span_with_odd_edges_is_counted_exactly(usage: Usage):
    start, end = BEGIN + timedelta(hours=5, minutes=7), BEGIN + timedelta(days=2, minutes=11)
    rows = RequestLog.objects.filter(started_at__gte=start, started_at__lt=end)
    asked = Asked(filters={}, scope=Scope(), start=start, end=end)
    whole = list(rows.order_by("-started_at", "-pk"))
    assert page_at(asked, offset=40, count=25) == (whole[40:65], len(whole))


def test_pages_of_the_admin_are_the_same(usage: Usage):
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    for query, rows in (
        ("", RequestLog.objects.all()),
        ("&client=2", RequestLog.objects.filter(client_id=2)),
        ("&outcome=failed", RequestLog.objects.filter(outcome__in=("error", "interrupted"))),
        ("&status=5xx", RequestLog.objects.filter(http_status=502)),
        ("&o=0", RequestLog.objects.order_by("started_at")),
    ):
        whole = list(rows if rows.ordered and "o=0" in query else rows.order_by("-started_at"))
        for page in range(1, 2 + (len(whole) > 50)):
            answer = browser.get(f"{LIST}?p={page}{query}")
            shown = list(answer.context["cl"].result_list)
            assert shown == whole[50 * (page - 1) : 50 * page], query
