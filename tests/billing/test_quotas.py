"""Quotas as rows: what they are on, in documents, how much is used, what they refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from apps.billing import quota_history
from apps.billing.limits import Demand, QuotaLimit, ScopeLimits
from apps.billing.models import Quota, QuotaHour, QuotaOverride
from apps.configuration import exporting
from apps.gateway.snapshot.build import build_snapshot
from apps.usage.batch import Batch, commit
from apps.usage.names import Names
from apps.usage.records import QuotaRow, Tally
from chatvault.lib import clock
from tests.factories import make_alias, make_client, make_provider, make_quota, make_team, make_user

HOUR_MS = 3_600_000


async def test_what_counts_now_is_the_same_on_every_back_end(clocked):
    quotas = (
        QuotaLimit(1, "requests", 60, 99),
        QuotaLimit(2, "output_tokens", 60, 999),
        QuotaLimit(3, "concurrency", 1, 9),
        QuotaLimit(4, "input_tokens", 60, 999),
    )
    scope = ScopeLimits("client", 1, quotas)
    ids = [next(clocked.ids) for _ in range(3)]
    for request_id in ids:
        await clocked.limits.reserve(request_id, (scope,), Demand(30, 0, 10))
    await clocked.limits.settle(ids[0], tokens=9, nano_usd=0, output_tokens=4)
    assert used(clocked, quotas) == {1: 3, 2: 24, 3: 2, 4: 45}
    clocked.sleep(62)
    assert used(clocked, quotas) == {1: 0, 2: 0, 3: 2, 4: 0}
    clocked.sleep(900)
    assert used(clocked, quotas)[3] == 0
    unknown = QuotaLimit(99, "requests", 60, 1)
    assert used(clocked, (unknown,)).get(99, 0) == 0


def used(clocked, quotas):
    if not hasattr(clocked.limits, "books"):
        return clocked.limits.used(quotas)
    books = clocked.limits.books
    books.look()
    return books.used(quotas, now_us=clocked.mono_ns // 1000)


@pytest.mark.django_db
@pytest.mark.parametrize("count", [0, 2])
def test_the_database_holds_a_quota_to_exactly_one(count):
    rows = {"alias": make_alias(), "provider": make_provider()}
    chosen = dict(list(rows.items())[:count])
    with pytest.raises(IntegrityError), transaction.atomic():
        Quota.objects.create(unit="requests", ceiling=5, **chosen)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "make"), [("user", make_user), ("alias", make_alias), ("provider", make_provider)]
)
def test_the_database_holds_to_one_of_a_unit_and_a_window(kind, make):
    row = make()
    make_quota(**{kind: row})
    make_quota(**{kind: row}, window_s=3600)
    make_quota(**{kind: make()})
    with pytest.raises(IntegrityError), transaction.atomic():
        make_quota(**{kind: row})


@pytest.mark.django_db
def test_a_temporary_ceiling_without_end_or_reason_cannot_be_stored():
    quota, now = make_quota(), clock.now()
    good = {"quota": quota, "ceiling": 5, "starts_at": now, "reason": "why", "author_name": "ada"}
    for changes in ({"ends_at": now}, {"ends_at": now + timedelta(1), "reason": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            QuotaOverride.objects.create(**good | changes)


@pytest.mark.django_db
def test_the_snapshot_has_limits_of_every_kind_and_ceilings_that_hold_or_will():
    rows = {"user": make_user(), "alias": make_alias(), "provider": make_provider()}
    quotas = {kind: make_quota(**{kind: row}) for kind, row in rows.items()}
    now = clock.now()
    for starts, ends in ((-2, -1), (-1, 1), (1, 2)):
        QuotaOverride.objects.create(
            quota=quotas["alias"], ceiling=9, starts_at=now + timedelta(hours=starts),
            ends_at=now + timedelta(hours=ends), reason="why", author_name="ada",
        )  # fmt: skip
    snapshot = build_snapshot()
    for kind, row in rows.items():
        limits = getattr(snapshot, f"{kind}_limits")[row.pk]
        assert (limits.kind, limits.id, limits.quotas[0].id) == (kind, row.pk, quotas[kind].pk)
    [quota] = snapshot.alias_limits[rows["alias"].pk].quotas
    assert [round(one.until_s - now.timestamp()) for one in quota.overrides] == [3600, 7200]


@pytest.mark.django_db
def test_ingest_adds_what_was_refused_to_its_hour_also_of_quotas_that_are_gone():
    at_ms = 1_700_000_000_000
    tallies = [
        Tally(at_ms, quotas=(QuotaRow(7, 3, 0), QuotaRow(8, 0, 5))),
        Tally(at_ms + 1000, quotas=(QuotaRow(7, 2, 1),)),
        Tally(at_ms + HOUR_MS, quotas=(QuotaRow(7, 1, 0),)),
    ]
    commit(Batch(tallies=tallies), journal_id="j", names=Names())
    rows = QuotaHour.objects.order_by("quota_id", "hour")
    assert list(rows.values_list("quota_id", "refused", "observed")) == [
        (7, 5, 1), (7, 1, 0), (8, 0, 5),
    ]  # fmt: skip
    quota_history.forget(before=clock.now())
    assert QuotaHour.objects.count() == 0


@pytest.mark.django_db
def test_what_a_quota_is_called():
    named = make_quota(client=make_client(name="shop", team=make_team()), unit="input_tokens")
    assert str(named).endswith("60 input tokens per 60 s")
    assert named.team_id_of == named.client.team_id
    assert make_quota(alias=make_alias()).team_id_of is None


@pytest.mark.django_db
def test_quotas_of_models_and_providers_are_in_documents_and_of_people_not():
    make_quota(alias=make_alias(name="smart"), observes=True, unit="output_tokens")
    make_quota(provider=make_provider(name="far"), is_active=False)
    make_quota(user=make_user())
    document = exporting.export()
    [alias] = [one for one in document["aliases"] if one["name"] == "smart"]
    assert alias["quotas"] == [{"unit": "output_tokens", "ceiling": 60, "observe": True}]
    [provider] = [one for one in document["providers"] if one["name"] == "far"]
    assert provider["quotas"] == [{"unit": "requests", "ceiling": 60, "active": False}]
    assert sum("quotas" in item for part in document.values() if isinstance(part, list)
               for item in part) == 2  # fmt: skip
