"""Usage by the REST API: who sees what, pages, sums, files and refusals."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client as Browser

from apps.audit.models import AuditEvent
from apps.usage import rollups
from apps.usage.models import RequestLog
from tests.factories import make_client, make_key, make_person, make_request, make_team

pytestmark = pytest.mark.django_db
AT = datetime(2026, 5, 4, 10, 30, tzinfo=UTC)
SPAN = "start=2026-05-04&end=2026-05-05"


def browser_of(person: Any) -> Browser:
    browser = Browser()
    browser.force_login(person)
    return browser


def bearer(key: str) -> Browser:
    return Browser(headers={"authorization": f"Bearer {key}"})


@pytest.fixture
def owner() -> Browser:
    return browser_of(make_person("owner", None))


def ask(browser: Browser, path: str = "", query: str = SPAN, status: int = 200) -> Any:
    answer = browser.get(f"/api/v1/usage{path}?{query}")
    assert answer.status_code == status, answer.content
    return answer.json()


def requests(count: int = 1, **fields: Any) -> list[RequestLog]:
    made = [
        make_request(**{"started_at": AT + timedelta(seconds=number)} | fields)
        for number in range(count)
    ]
    rollups.recompute(AT.replace(minute=0), AT + timedelta(hours=1))
    return made


def test_sums_come_by_two_dimensions_and_by_the_day_of_a_zone(owner):
    team = make_team(name="research")
    requests(2, team_id=team.pk, alias="gpt-4o", cost_nano=1, charged_nano=3)
    requests(1, team_id=team.pk, alias="o4", outcome="error", http_status=502, latency_ms=None)
    told = ask(
        owner,
        "/summary",
        f"{SPAN}&group_by=team&group_by=alias&bucket=day&time_zone=Europe/Berlin",
    )
    first, second = told["results"]
    assert first["group"] == {"team": team.pk, "alias": "o4"}
    assert first["names"] == {"team": "research"}
    assert first["latency_ms"] == {"mean": None, "p50": None, "p95": None, "p99": None}
    assert second["bucket"] == "2026-05-04T00:00:00+02:00"
    assert (second["requests"], second["errors"], second["input_tokens"]) == (2, 0, 20)
    assert (second["cost"], second["charged"]) == ("0.000000002", "0.000000006")
    assert second["margin"] == "0.000000004"
    assert told["total"]["requests"] == 3
    assert second["latency_ms"]["mean"] == 120


def test_buckets_without_requests_are_null_when_they_are_asked_for(owner):
    told = ask(owner, "/summary", f"{SPAN}&bucket=hour&fill=true")
    assert len(told["results"]) == 24
    assert {row["requests"] for row in told["results"]} == {None}
    assert {row["charged"] for row in told["results"]} == {None}
    assert told["total"]["input_tokens"] is None


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [
        ("/summary", "start=2026-05-05&end=2026-05-04", "end"),
        ("/summary", "start=yesterday", "start"),
        ("/summary", "start=2026-02-30", "start"),
        ("/summary", "start=2026-05-04T10:00:00", "start"),
        ("/summary", "start=2024-01-01&end=2026-01-01&bucket=hour", "bucket"),
        ("/summary", "start=1990-01-01&end=2026-01-01", "end"),
        ("/summary", "time_zone=Mars/Olympus", "time_zone"),
        ("/summary", "group_by=team&group_by=key&group_by=user", "group_by"),
        ("/summary", "group_by=colour", "group_by"),
        ("/summary", "bucket=year", "bucket"),
        ("/summary", "team=research", "team"),
        ("/summary", "team=-1", "team"),
        ("/summary", "team=99999999999999999999", "team"),
        ("/summary", "status=ok", "status"),
        ("/summary", "outcome=good", "outcome"),
        ("/summary", "tag=atlas", "tag"),
        ("/summary", "colour=red", "colour"),
        ("/summary", "error=%27%20OR%201=1", "error"),
        ("", "limit=0", "limit"),
        ("", "offset=-1", "offset"),
        ("", "ordering=charged", "ordering"),
        ("/export", "format=xls", "format"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(owner, path, query, param):
    told = ask(owner, path, query, 400)
    assert told["error"]["param"] == param
    assert told["error"]["type"] == "invalid_request_error"


def test_a_person_sees_the_teams_where_usage_may_be_read(owner):
    mine, other = make_team(), make_team()
    requests(1, team_id=mine.pk)
    requests(2, team_id=other.pk)
    viewer = browser_of(make_person("viewer", mine))
    assert ask(viewer, "/summary")["total"]["requests"] == 1
    assert len(ask(viewer)["results"]) == 1
    assert ask(viewer, "/summary", f"{SPAN}&team={other.pk}")["total"]["requests"] is None
    assert ask(viewer, "", f"{SPAN}&team={other.pk}")["results"] == []
    assert ask(owner, "/summary")["total"]["requests"] == 3


def test_a_key_sees_its_own_requests_and_with_a_scope_those_of_its_team():
    team = make_team()
    client = make_client(team=team)
    plain = make_key(client=client, scopes=["inference"])
    reader = make_key(client=client, scopes=["inference", "usage:read"])
    of_client = {"team_id": team.pk, "client_id": client.pk}
    requests(1, **of_client, key_id=plain.key.pk)
    requests(2, **of_client, key_id=reader.key.pk)
    requests(4, team_id=make_team().pk)
    assert ask(bearer(plain.secret.reveal()), "/summary")["total"]["requests"] == 1
    assert len(ask(bearer(plain.secret.reveal()))["results"]) == 1
    assert ask(bearer(plain.secret.reveal()), "", f"{SPAN}&key={reader.key.pk}")["results"] == []
    assert ask(bearer(reader.secret.reveal()), "/summary")["total"]["requests"] == 3
    blind = make_key(client=client, scopes=["limits:read"])
    ask(bearer(blind.secret.reveal()), "/summary", status=403)


def test_pages_by_cursor_show_every_request_once_and_offsets_jump(owner):
    made = requests(7)
    seen, query = [], f"{SPAN}&page_size=3"
    while True:
        page = ask(owner, "", query)
        seen += [row["request_id"] for row in page["results"]]
        if page["next"] is None:
            break
        query = page["next"].partition("?")[2]
    newest_first = [str(row.request_id) for row in reversed(made)]
    assert seen == newest_first
    jumped = ask(owner, "", f"{SPAN}&limit=2&offset=4")
    assert jumped["count"] == 7
    assert [row["request_id"] for row in jumped["results"]] == newest_first[4:6]
    oldest = ask(owner, "", f"{SPAN}&limit=2&ordering=started_at")
    assert [row["request_id"] for row in oldest["results"]] == newest_first[::-1][:2]
    assert ask(owner, "", f"{SPAN}&limit=2&offset=100")["results"] == []


def test_filters_narrow_rows_and_sums_alike(owner):
    requests(2, alias="gpt-4o", http_status=200)
    requests(3, alias="o4", http_status=429, outcome="error", error_code="upstream_rate_limited")
    for query, count in (
        ("alias=o4", 3), ("alias=o4&alias=gpt-4o", 5), ("status=429,200", 5), ("status=429", 3),
        ("outcome=ok", 2), ("error=upstream_rate_limited", 3), ("key=1,2", 5), ("user=0", 5),
    ):  # fmt: skip
        assert ask(owner, "/summary", f"{SPAN}&{query}")["total"]["requests"] == count, query
        assert ask(owner, "", f"{SPAN}&{query}&limit=9")["count"] == count, query
        assert len(ask(owner, "", f"{SPAN}&{query}")["results"]) == count, query


def download(browser: Browser, form: str) -> bytes:
    answer = browser.get(f"/api/v1/usage/export?{SPAN}&format={form}")
    assert answer.status_code == 200
    assert "attachment" in answer["Content-Disposition"]
    return b"".join(answer.streaming_content)


def test_files_hold_the_requests_and_no_formulas(owner):
    requests(2, client_name='=HYPERLINK("http://evil")', key_name="a,b", charged_nano=1_234)
    rows = list(csv.DictReader(io.StringIO(download(owner, "csv").decode())))
    assert [row["client"] for row in rows] == ['\'=HYPERLINK("http://evil")'] * 2
    assert rows[0]["key"] == "a,b"
    assert rows[0]["charged_usd"] == "0.000001234"
    assert rows[0]["started_at"] == "2026-05-04T10:30:00.000000Z"
    told = json.loads(download(owner, "json"))
    assert [row["charged_usd"] for row in told] == ["0.000001234"] * 2
    assert told[0]["client"] == '=HYPERLINK("http://evil")'
    events = AuditEvent.objects.filter(action="usage.exported")
    assert {event.after["format"] for event in events} == {"csv", "json"}


def test_parquet_has_exact_decimals(owner):
    from pyarrow import parquet

    requests(3, charged_nano=1_234_567_891)
    table = parquet.read_table(io.BytesIO(download(owner, "parquet")))
    assert table.column("charged_usd").to_pylist() == [Decimal("1.234567891")] * 3
    assert table.column("started_at").to_pylist()[0] == AT
    empty = owner.get("/api/v1/usage/export?start=2020-01-01&end=2020-01-02&format=parquet")
    assert parquet.read_table(io.BytesIO(b"".join(empty.streaming_content))).num_rows == 0


def test_focus_has_the_columns_of_the_standard(owner):
    requests(1, team_id=4, team_name="research", provider_name="openai", charged_nano=5)
    (row,) = csv.DictReader(io.StringIO(download(owner, "focus").decode()))
    assert (row["BilledCost"], row["BillingCurrency"]) == ("0.000000005", "USD")
    assert row["ChargePeriodStart"] == "2026-05-04T10:00:00.000000Z"
    assert row["ChargePeriodEnd"] == "2026-05-04T11:00:00.000000Z"
    assert row["BillingPeriodStart"] == "2026-05-01T00:00:00.000000Z"
    assert row["BillingPeriodEnd"] == "2026-06-01T00:00:00.000000Z"
    assert (row["SubAccountId"], row["SubAccountName"]) == ("4", "research")
    assert (row["ProviderName"], row["ConsumedQuantity"]) == ("openai", "15")
    assert row["ChargeCategory"] == "Usage"
    assert row["ChargeClass"] == ""


def test_an_empty_file_is_a_file(owner):
    assert json.loads(download(owner, "json")) == []
    assert len(download(owner, "csv").splitlines()) == 1


def test_a_key_exports_its_own_requests_only():
    issued = make_key(scopes=["inference"])
    client = issued.key.client
    requests(1, team_id=client.team_id, client_id=client.pk, key_id=issued.key.pk)
    requests(3, team_id=client.team_id, client_id=client.pk, key_id=issued.key.pk + 1)
    told = json.loads(download(bearer(issued.secret.reveal()), "json"))
    assert [row["key_id"] for row in told] == [issued.key.pk]
