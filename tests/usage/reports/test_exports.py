"""Exports in the background: day by day, gone on with, fetched in parts, forgotten in time."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.usage import exports
from apps.usage.models import UsageExport
from apps.usage.reports.exporting import focus
from apps.usage.reports.exporting.columns import USAGE
from apps.usage.reports.exporting.files import FORMATS, chunks, csv_line
from apps.usage.reports.exporting.slices import Wanted, rows_of, slices
from apps.usage.reports.query import EVERYTHING
from chatvault.lib import clock
from tests.factories import make_person, make_team
from tests.usage.reports.conftest import BEGIN, DAYS, Usage

pytestmark = pytest.mark.django_db
SPAN = {"start": "2026-03-27", "end": "2026-04-01"}
WHOLE = Wanted(BEGIN, BEGIN + timedelta(days=DAYS), {}, EVERYTHING)
JSON = "application/json"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "_folder", lambda number: tmp_path / "exports" / str(number))


def browser_of(person: Any) -> Browser:
    browser = Browser()
    browser.force_login(person)
    return browser


@pytest.fixture
def owner() -> Browser:
    return browser_of(make_person("owner", None, is_staff=True, is_superuser=True))


def asked(browser: Browser, **more: Any) -> UsageExport:
    answer = browser.post("/api/v1/usage/exports", SPAN | more, content_type=JSON)
    assert answer.status_code == 202, answer.content
    return UsageExport.objects.get(pk=answer.json()["id"])


def made(row: UsageExport) -> UsageExport:
    told: list[tuple[int, int]] = []
    exports.make(row.pk, progress=lambda done, total: told.append((done, total)))
    row.refresh_from_db()
    return row


def fetched(browser: Browser, row: UsageExport, **headers: str) -> Any:
    return browser.get(f"/api/v1/usage/exports/{row.pk}/download", headers=headers)


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_of_parts_is_what_is_streamed(usage: Usage, owner: Browser, form: str):
    row = made(asked(owner, format=form))
    assert (row.state, row.rows, row.days_done) == ("done", len(usage.rows), DAYS)
    file = b"".join(fetched(owner, row).streaming_content)
    assert len(file) == row.size_bytes
    streamed = b"".join(chunks(WHOLE, FORMATS[form]))
    if form == "parquet":
        from pyarrow import parquet

        ours, whole = (parquet.read_table(io.BytesIO(each)) for each in (file, streamed))
        assert ours.equals(whole)
    else:
        assert file == streamed
    assert not list(exports.folder_of(row).glob("*.part"))


def test_the_money_of_a_file_is_that_of_the_report(usage: Usage, owner: Browser):
    rows = json.loads(b"".join(chunks(WHOLE, FORMATS["json"])))
    from decimal import Decimal

    charged = sum(
        Decimal(row["charged_usd"]) + Decimal(row["charged_adjustment_usd"] or 0) for row in rows
    )
    told = owner.get("/api/v1/usage/summary?start=2026-03-27&end=2026-04-01").json()
    assert f"{charged:.9f}" == told["total"]["charged"]


def test_postgresql_and_python_write_the_same_bytes(usage: Usage):
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL alone writes CSV itself")
    for name, columns in (("csv", USAGE), ("focus", focus.COLUMNS)):
        lines = b"".join(chunks(WHOLE, FORMATS[name])).decode().splitlines(keepends=True)[1:]
        ours = [
            csv_line(row, columns) for one in slices(WHOLE, 50) for row in rows_of(one, columns)
        ]
        assert ours == lines


def test_what_was_interrupted_goes_on_and_keeps_what_is_done(usage: Usage, owner: Browser):
    row = asked(owner, format="csv")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise RuntimeError("the worker dies")

    with pytest.raises(RuntimeError):
        exports.make(row.pk, progress=stop)
    parts = {path: path.stat().st_mtime_ns for path in exports.folder_of(row).glob("*.part")}
    assert len(parts) == 2
    done: list[int] = []
    exports.make(row.pk, progress=lambda number, _: done.append(number))
    row.refresh_from_db()
    assert (row.state, row.rows, done) == ("done", len(usage.rows), [1, 2, 3, 4, 5])
    size = row.size_bytes
    exports.make(row.pk, progress=stop)  # a message that comes twice changes nothing
    row.refresh_from_db()
    assert row.size_bytes == size


def test_a_part_of_the_file_is_fetched_by_its_range(usage: Usage, owner: Browser):
    row = made(asked(owner, format="csv"))
    whole = b"".join(fetched(owner, row).streaming_content)
    for text, expected in (
        ("bytes=10-19", whole[10:20]), ("bytes=100-", whole[100:]), ("bytes=-7", whole[-7:]),
    ):  # fmt: skip
        answer = fetched(owner, row, range=text)
        assert answer.status_code == 206
        assert b"".join(answer.streaming_content) == expected
        assert answer["Content-Range"].endswith(f"/{len(whole)}")
    assert fetched(owner, row, range=f"bytes={len(whole)}-").status_code == 416
    other = fetched(owner, row, **{"range": "bytes=5-9", "if-range": '"another"'})
    assert other.status_code == 200


def test_an_export_is_its_authors_and_ends_with_what_they_may_see(usage: Usage):
    team = make_team(pk=1)
    person = make_person("viewer", team)
    mine = browser_of(person)
    row = made(asked(mine, format="json"))
    rows = json.loads(b"".join(fetched(mine, row).streaming_content))
    assert {each["team_id"] for each in rows} == {1}
    stranger = browser_of(make_person("viewer", team))
    assert fetched(stranger, row).status_code == 404
    assert stranger.get("/api/v1/usage/exports").json()["results"] == []
    person.memberships.all().delete()
    person.memberships.create(team=make_team(pk=9), role="viewer")
    assert fetched(mine, row).status_code == 404


def test_files_go_when_their_time_is_over_and_when_somebody_removes_them(
    usage: Usage, owner: Browser
):
    first, second = made(asked(owner, format="csv")), made(asked(owner, format="csv"))
    UsageExport.objects.filter(pk=first.pk).update(expires_at=clock.now() - timedelta(seconds=1))
    exports.tend()
    assert not exports.folder_of(first).exists()
    assert list(UsageExport.objects.all()) == [second]
    assert owner.delete(f"/api/v1/usage/exports/{second.pk}").status_code == 204
    assert not UsageExport.objects.exists()
    assert not exports.file_of(second).exists()
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"usage_export.created", "usage_export.removed"} <= actions


def test_a_file_that_is_not_done_is_a_conflict_and_too_many_are_refused(owner: Browser):
    row = asked(owner, format="csv")
    assert fetched(owner, row).status_code == 409
    for _ in range(exports.MOST_UNFINISHED - 1):
        asked(owner, format="csv")
    answer = owner.post("/api/v1/usage/exports", SPAN, content_type=JSON)
    assert answer.status_code == 400
    long = {"start": "2020-01-01", "end": "2026-01-01"}
    assert owner.post("/api/v1/usage/exports", long, content_type=JSON).status_code == 400
    assert UsageExport.objects.count() == exports.MOST_UNFINISHED


def test_an_admin_asks_for_a_file_of_what_the_log_shows(usage: Usage, owner: Browser):
    log = owner.get(reverse("admin:usage_requestlog_changelist") + "?alias=gpt-4o")
    assert b"usageexport/add/?alias=gpt-4o" in log.content
    add = reverse("admin:usage_usageexport_add")
    form = owner.get(f"{add}?alias=gpt-4o").context["adminform"].form
    assert form["alias"].value() == "gpt-4o"
    given = {
        "format": "csv", "first_day": "2026-03-27", "last_day": "2026-03-31",
        "time_zone": "UTC", "alias": "gpt-4o",
    }  # fmt: skip
    wrong = owner.post(add, given | {"last_day": "2026-03-01", "tag": "atlas"})
    assert set(wrong.context["adminform"].form.errors) == {"last_day", "tag"}
    assert owner.post(add, given).status_code == 302
    row = made(UsageExport.objects.get())
    page = owner.get(reverse("admin:usage_usageexport_changelist")).content.decode()
    assert "5 of 5 days" in page
    assert "CSV, 2026-03-27 to 2026-03-31" in page
    assert "Show all" not in page  # nothing narrows the list
    one = owner.get(reverse("admin:usage_usageexport_change", args=[row.pk])).content.decode()
    assert "Done" in one
    assert "(&#x27;done" not in one
    answer = owner.get(reverse("admin:usage_usageexport_download", args=[row.pk]))
    lines = csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode()))
    assert {line["alias"] for line in lines} == {"gpt-4o"}
