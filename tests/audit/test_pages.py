"""The trail in the admin: found, read, exported; changed by nobody."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.test import Client as Browser
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.audit import chain, checkpoints, export, trail
from apps.audit.acting import Actor
from apps.audit.export import COLUMNS
from apps.audit.models import AuditEvent
from chatvault.lib import correlation
from tests.factories import make_team, make_user

pytestmark = pytest.mark.django_db

LIST = reverse("admin:audit_auditevent_changelist")


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(username="ada", is_staff=True, is_superuser=True))
    return browser


def page_of(event: AuditEvent) -> str:
    return reverse("admin:audit_auditevent_change", args=[event.pk])


def shown(browser: Browser, query: str = "") -> list[AuditEvent]:
    answer = browser.get(f"{LIST}{query}")
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


def test_the_number_of_queries_is_fixed_and_nothing_is_counted(browser: Browser) -> None:
    team = make_team()
    trail.record("team.added", target=team, team_id=team.pk)
    browser.get(LIST)
    with CaptureQueriesContext(connection) as few:
        browser.get(LIST)
    for number in range(80):
        other = make_team()
        trail.record(f"thing{number}.done", target=other, team_id=other.pk)
    with CaptureQueriesContext(connection) as many:
        assert len(shown(browser)) == 50
    assert len(many) == len(few) <= 12
    assert not [each for each in many if "COUNT(" in each["sql"].upper()]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("topic=key", {1, 3}),
        ("kind=system", {3}),
        ("kind=person", {1, 2}),
        ("team=7", {1}),
        ("team=rubbish", {1, 2, 3}),
        ("span=1h", {1, 2, 3}),
        ("topic=key&kind=person", {1}),
        ("q=grace", {1}),
        ("q=req-2", {2}),
        ("q=%25", set()),
        ("q=_", set()),
        ("q=" + "%25" * 100, set()),
    ],
)
def test_the_trail_is_filtered_and_searched(browser: Browser, query: str, found: set[int]) -> None:
    trail.record("key.revoked", actor=Actor("person", "grace"), team_id=7)
    with correlation.within("req-2"):
        trail.record("role.given", actor=Actor("person", "bob"))
    trail.record("key.rotated")
    assert {event.id for event in shown(browser, f"?{query}")} == found


def test_a_target_is_found_by_how_its_name_begins(browser: Browser) -> None:
    team = make_team(name="100%_sure")
    event = trail.record("team.added", target=team)
    trail.record("team.added", target=make_team(name="100 others"))
    assert shown(browser, "?q=100%25_") == [event]


def test_the_page_of_an_event_shows_what_was_and_is(browser: Browser) -> None:
    team = make_team(name="research")
    with correlation.within("req-9"):
        event = trail.record(
            "team.changed",
            target=team,
            before={"description": "<script>old</script>", "active": True},
            after={"description": "new", "active": False},
        )
        other = trail.record("configuration.changed")
    html = browser.get(page_of(event)).content.decode()
    assert "&lt;script&gt;old&lt;/script&gt;" in html
    assert reverse("admin:accounts_team_change", args=[team.pk]) in html
    assert page_of(other) in html
    assert event.hash in html


def test_nobody_adds_changes_or_deletes_an_event(browser: Browser) -> None:
    event = trail.record("a.b")
    before = AuditEvent.objects.values().get()
    assert browser.get(reverse("admin:audit_auditevent_add")).status_code == 403
    assert browser.post(reverse("admin:audit_auditevent_add"), {"action": "x"}).status_code == 403
    assert browser.post(page_of(event), {"actor": "mallory"}).status_code == 405
    delete = reverse("admin:audit_auditevent_delete", args=[event.pk])
    assert browser.post(delete, {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [event.pk], "post": "yes"}
    browser.post(LIST, chosen)
    assert AuditEvent.objects.values().get() == before


def test_reading_needs_the_capability() -> None:
    event = trail.record("a.b")
    browser = Browser()
    browser.force_login(make_user(is_staff=True))
    file = reverse("admin:audit_auditevent_export", args=["csv"])
    for url in (LIST, page_of(event), file):
        answer = browser.get(url)
        assert answer.status_code in (302, 403, 404)
        assert b"a.b" not in answer.content


def test_the_banner_tells_what_the_last_verification_found(browser: Browser) -> None:
    trail.record("a.b")
    assert "not yet" in browser.get(LIST).content.decode()
    checkpoints.check_all()
    assert "in order" in browser.get(LIST).content.decode()
    AuditEvent.objects.filter(id=1).update(actor="mallory")
    checkpoints.check_all()
    html = browser.get(LIST).content.decode()
    assert 'role="alert"' in html
    assert "Event 1 is not what was written." in html


def body_of(answer: Any) -> str:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content).decode()


def test_an_export_as_json_lines_can_be_verified_by_itself(browser: Browser) -> None:
    team = make_team(name="=cmd()")
    for number in range(5):
        trail.record("team.changed", target=team, after={"n": number, "é": "ü\u2028"})
    url = reverse("admin:audit_auditevent_export", args=["jsonl"])
    rows = [json.loads(line) for line in body_of(browser.get(url)).splitlines()]
    previous = chain.START
    for row in rows:
        assert row["previous_hash"] == previous
        values = [row[name] for name in chain.COVERED]
        assert chain.hash_of(values) == row["hash"]
        previous = row["hash"]
    assert [row["action"] for row in rows[-2:]] == ["team.changed", "audit.exported"]


def test_an_export_as_csv_holds_no_formula(browser: Browser) -> None:
    for text in ('=HYPERLINK("http://x")', "+1", "-1", "@x", "\tx"):
        trail.record("a.b", actor=Actor("person", text))
    url = reverse("admin:audit_auditevent_export", args=["csv"])
    text = body_of(browser.get(f"{url}?topic=a"))
    head, *rows = csv.reader(io.StringIO(text))
    assert tuple(head) == COLUMNS
    assert len(rows) == 5
    assert all(cell[:1] not in ("=", "+", "-", "@", "\t") for row in rows for cell in row)
    event = AuditEvent.objects.get(action="audit.exported")
    assert event.after == {"form": "csv", "filters": {"topic": "a"}}


def test_an_export_is_read_in_batches(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.audit.export._AT_ONCE", 3)
    for _ in range(10):
        trail.record("a.b")
    url = reverse("admin:audit_auditevent_export", args=["jsonl"])
    answer = browser.get(f"{url}?topic=a")
    assert [chunk.count(b"\n") for chunk in answer.streaming_content] == [3, 3, 3, 1]


async def test_under_asgi_an_export_is_not_collected_first() -> None:
    """Django would gather a synchronous stream whole before it sends the first byte."""
    chunks = iter(["one", "two"])
    given = [chunk async for chunk in export._in_turn(chunks)]
    assert given == ["one", "two"]


def test_only_asgi_gets_an_asynchronous_stream() -> None:
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    events = AuditEvent.objects.all()
    asynchronous = export.response(ASGIRequest(scope, io.BytesIO()), events, "csv", {})
    assert asynchronous.is_async
    assert not export.response(RequestFactory().get("/"), events, "csv", {}).is_async
