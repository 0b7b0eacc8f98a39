"""Quotas, temporary ceilings and their use by the REST API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser

from apps.audit.models import AuditEvent
from apps.billing import quota_history, quota_uses
from apps.billing.models import Quota, QuotaOverride
from apps.configuration.models import Announcement
from chatvault.lib import clock
from tests.factories import (
    make_alias,
    make_client,
    make_key,
    make_person,
    make_provider,
    make_quota,
    make_team,
    make_user,
)

pytestmark = pytest.mark.django_db
JSON = "application/json"


def browser_of(person: Any) -> Browser:
    browser = Browser()
    browser.force_login(person)
    return browser


@pytest.fixture
def owner() -> Browser:
    return browser_of(make_person("owner", None))


@pytest.fixture
def team() -> Any:
    return make_team()


@pytest.fixture
def lead(team: Any) -> Browser:
    return browser_of(make_person("admin", team))


@pytest.fixture
def used():
    """Says what quotas count: `used({quota id: count})`."""
    yield lambda counts: quota_uses.register(lambda quotas: counts)
    quota_uses.register(None)


def post(browser: Browser, path: str, **data: Any) -> Any:
    return browser.post(f"/api/v1/{path}", data, content_type=JSON)


def patch(browser: Browser, path: str, **data: Any) -> Any:
    return browser.patch(f"/api/v1/{path}", data, content_type=JSON)


def test_a_quota_of_every_kind_is_made_changed_and_deleted(owner):
    rows = {
        "team": make_team(), "client": make_client(), "key": make_key().key, "user": make_user(),
        "alias": make_alias(), "provider": make_provider(),
    }  # fmt: skip
    for kind, row in rows.items():
        made = post(owner, "quotas", **{kind: row.pk}, unit="output_tokens", ceiling=500)
        assert made.status_code == 201, made.json()
        quota = Quota.objects.get(pk=made.json()["id"])
        assert (quota.kind, quota.scope, quota.window_s, quota.observes) == (kind, row, 60, False)
        before = Announcement.objects.count()
        changed = patch(owner, f"quotas/{quota.pk}", ceiling=600, observes=True)
        assert (changed.status_code, changed.json()["ceiling"]) == (200, 600)
        assert Announcement.objects.filter(topic="billing.limits").exists()
        assert Announcement.objects.count() > before
        assert owner.delete(f"/api/v1/quotas/{quota.pk}").status_code == 204
    told = AuditEvent.objects.filter(target_type="billing.quota").values_list("action", flat=True)
    assert sorted(set(told)) == ["quota.added", "quota.changed", "quota.deleted"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"client": None}, "client"),
        ({"team": 1}, "client"),
        ({"ceiling": 0}, "ceiling"),
        ({"ceiling": 2**63}, "ceiling"),
        ({"window_s": 0}, "window_s"),
        ({"window_s": 31 * 86_400 + 1}, "window_s"),
        ({"unit": "words"}, "unit"),
        ({"id": 5}, "id"),
        ({"owner": 5}, "owner"),
    ],
)
def test_bad_quotas_are_refused_by_field_and_nothing_is_saved(owner, changes, field):
    make_team(pk=1) if changes == {"team": 1} else None
    good = {"client": make_client().pk, "unit": "requests", "ceiling": 5, "window_s": 60}
    refused = post(owner, "quotas", **(good | changes))
    assert refused.status_code == 400
    assert field in refused.json()["error"]["fields"]
    assert Quota.objects.count() == 0


def test_the_same_quota_twice_is_a_conflict_and_what_it_is_on_stays(owner):
    quota = make_quota()
    again = post(owner, "quotas", client=quota.client_id, unit="requests", ceiling=9)
    assert again.status_code == 409
    moved = patch(owner, f"quotas/{quota.pk}", client=make_client().pk)
    assert moved.status_code == 400
    assert Quota.objects.count() == 1


def test_a_lead_sees_and_changes_the_teams_own_and_no_other(lead, team):
    mine = make_quota(client=make_client(team=team))
    ceiling = make_quota(team=team)
    foreign = [make_quota(), make_quota(alias=make_alias()), make_quota(provider=make_provider())]
    listed = lead.get("/api/v1/quotas").json()["results"]
    assert {row["id"] for row in listed} == {mine.pk, ceiling.pk}
    assert patch(lead, f"quotas/{mine.pk}", ceiling=7).status_code == 200
    assert patch(lead, f"quotas/{ceiling.pk}", ceiling=7).status_code == 403
    for quota in foreign:
        assert patch(lead, f"quotas/{quota.pk}", ceiling=7).status_code == 404
        assert post(lead, "quota-overrides", quota=quota.pk, **span()).status_code == 400
    for kind in ("alias", "provider", "user"):
        row = {"alias": make_alias, "provider": make_provider, "user": make_user}[kind]()
        made = post(lead, "quotas", **{kind: row.pk}, unit="tokens", ceiling=5)
        assert made.status_code in (400, 403)
    assert lead.get(f"/api/v1/quotas?team={foreign[0].client.team_id}").json()["results"] == []
    seen = lead.get("/api/v1/rate-limits").json()["results"]
    assert {line["quota"] for line in seen} == {mine.pk, ceiling.pk}


def span(**changes: Any) -> dict[str, Any]:
    now = clock.now()
    times = {"starts_at": now.isoformat(), "ends_at": (now + timedelta(hours=2)).isoformat()}
    return {"ceiling": 50, "reason": "launch"} | times | changes


def test_a_temporary_ceiling_has_an_end_a_reason_and_an_author(owner, used):
    quota = make_quota(ceiling=10)
    made = post(owner, "quota-overrides", quota=quota.pk, **span())
    assert made.status_code == 201
    row = QuotaOverride.objects.get()
    assert (row.quota, row.ceiling, row.author_name) == (quota, 50, row.author.username)
    used({quota.pk: 20})
    [line] = owner.get("/api/v1/rate-limits").json()["results"]
    assert (line["ceiling"], line["used"], line["left"], line["share"]) == (50, 20, 30, 0.4)
    assert line["ceiling_ends_at"] is not None
    event = AuditEvent.objects.get(action="quota_override.added")
    assert event.after["reason"] == "launch"
    assert event.team_id == quota.client.team_id
    assert owner.delete(f"/api/v1/quota-overrides/{row.pk}").status_code == 204
    [line] = owner.get("/api/v1/rate-limits").json()["results"]
    assert (line["ceiling"], line["ceiling_ends_at"]) == (10, None)


@pytest.mark.parametrize("field", ["ends_at", "starts_at", "reason", "ceiling", "quota"])
def test_a_temporary_ceiling_without_one_of_its_fields_is_refused(owner, field):
    data = span(quota=make_quota().pk)
    del data[field]
    refused = post(owner, "quota-overrides", **data)
    assert refused.status_code == 400
    assert list(refused.json()["error"]["fields"]) == [field]


def test_a_temporary_ceiling_ends_after_it_starts_and_not_in_the_past(owner):
    quota, now = make_quota(), clock.now()
    backwards = span(quota=quota.pk, starts_at=(now + timedelta(hours=3)).isoformat())
    past = span(
        quota=quota.pk,
        starts_at=(now - timedelta(hours=3)).isoformat(),
        ends_at=(now - timedelta(hours=1)).isoformat(),
    )
    for data in (backwards, past):
        refused = post(owner, "quota-overrides", **data)
        assert list(refused.json()["error"]["fields"]) == ["ends_at"]
    assert QuotaOverride.objects.count() == 0


def test_the_closest_to_their_ceilings_come_first_with_what_they_refused(owner, used):
    far, near, watched = make_quota(), make_quota(), make_quota(observes=True, unit="tokens")
    used({far.pk: 6, near.pk: 54, watched.pk: 60})
    now_ms = int(clock.wall_s() * 1000)
    quota_history.add(now_ms, [(near.pk, 3, 0), (watched.pk, 0, 8)])
    quota_history.add(now_ms, [(near.pk, 2, 0)])
    quota_history.add(now_ms - 30 * 3_600_000, [(near.pk, 100, 0)])
    lines = owner.get("/api/v1/rate-limits").json()["results"]
    assert [line["quota"] for line in lines] == [watched.pk, near.pk, far.pk]
    assert [line["share"] for line in lines] == [1.0, 0.9, 0.1]
    assert [(one["refused"], one["would_have_refused"]) for one in lines] == [
        (0, 8), (5, 0), (0, 0),
    ]  # fmt: skip
    [line] = owner.get("/api/v1/rate-limits?unit=tokens&observes=true").json()["results"]
    assert line["quota"] == watched.pk
    hours = owner.get("/api/v1/rate-limits/refusals?hours=48").json()["results"]
    assert len(hours) == 49
    assert hours[-1]["refused"] == {"client": 5}
    assert hours[-1]["would_have_refused"] == {"client": 8}
    assert sum(hour["refused"].get("client", 0) for hour in hours) == 105


def test_where_the_counters_cannot_be_asked_use_is_unknown_and_not_zero(owner):
    make_quota()
    [line] = owner.get("/api/v1/rate-limits").json()["results"]
    assert (line["used"], line["left"], line["share"]) == (None, None, None)


@pytest.mark.parametrize("query", ["hours=0", "unit=words", "scope=planet", "what=1", "limit=0"])
def test_a_filter_that_there_is_not_is_refused(owner, query):
    assert owner.get(f"/api/v1/rate-limits?{query}").status_code == 400


def test_the_number_of_queries_does_not_grow(owner, used, django_assert_max_num_queries):
    for _ in range(12):
        make_quota(key=make_key().key)
    used({})
    with django_assert_max_num_queries(12):
        owner.get("/api/v1/rate-limits")
    with django_assert_max_num_queries(12):
        owner.get("/api/v1/quotas")
