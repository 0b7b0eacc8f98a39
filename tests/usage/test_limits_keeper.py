"""The keeper: ledger, journals and a real Valkey, which has to say what both of them say."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.billing import ledger, shared_limits
from apps.billing.limits import BudgetLimit
from apps.billing.limits.redis.address import parse_address
from apps.billing.limits.redis.books import Held, LimitsBooks, RedisError, client_of
from apps.billing.models import Budget, GatewayNode
from apps.usage.follow import IngestStatus
from apps.usage.journal_health import journal_health
from apps.usage.limits_keeper import LimitsKeeper, beat, read_limits_status
from apps.usage.records import encode_frame
from apps.usage.segments import journal_id, new_owner, stored_owner
from chatvault.lib import clock
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import intent, settle, start

MONTH = datetime(2026, 9, 1, tzinfo=UTC)
MONTH_S = int(MONTH.timestamp())


def settings_of(budget: Budget) -> BudgetLimit:
    return BudgetLimit(budget.pk, budget.amount_nano, budget.period)


class Kept:
    """A node's keeper, the books in Redis, and one budget."""

    def __init__(self, world, url: str, monkeypatch) -> None:
        self.world = world
        self.client = client_of(parse_address(url), timeout_s=5)
        self.books = LimitsBooks(self.client, "test")
        monkeypatch.setattr(shared_limits, "new_books", lambda *_: LimitsBooks(self.client, "test"))
        monkeypatch.setattr(shared_limits, "is_used", lambda: True)
        monkeypatch.setattr(shared_limits._process, "books", None)
        monkeypatch.setattr(shared_limits._process, "failed_at", 0.0)
        self.budget = Budget.objects.create(client_id=21, amount_nano=10**9, period="month")
        self.journal_id = journal_id(world.folder)
        self.keeper = LimitsKeeper(world.folder, threading.Event())

    def look(self):
        """A look at which everything is due."""
        self.keeper._due.clear()
        self.keeper.look()
        self.keeper._tell()
        if not self.keeper.status.problem:
            self.books.look()
        return read_limits_status(self.world.folder)

    def sums(self):
        assert self.books.look() is not None
        return self.books.sums([(self.budget.pk, MONTH_S)]).get((self.budget.pk, MONTH_S))

    def held(self, request_id: bytes, nano: int, owner: str) -> Held:
        windows = ((self.budget.pk, MONTH_S),)
        return Held(owner, request_id, 10, nano, False, windows)

    def records(self, request_id: bytes, *, reserved: int, charged: int | None = None):
        begun = [
            intent(request_id, reserved_nano=reserved, budgets=((self.budget.pk, MONTH_S),)),
            start(request_id),
        ]
        if charged is None:
            return begun
        return [*begun, settle(request_id, charged_nano=charged, cost_nano=charged)]

    def owner_of(self, journal) -> str:
        return stored_owner(self.journal_id, journal.owner)


@pytest.fixture
def kept(world, valkey_url, monkeypatch):
    monkeypatch.setattr(clock, "wall_s", (MONTH + timedelta(days=20)).timestamp)
    made = Kept(world, valkey_url, monkeypatch)
    yield made
    made.client.close()


def old_id() -> bytes:
    """Of a request that began long enough ago to be looked after."""
    return (int((MONTH + timedelta(days=1)).timestamp() * 1000)).to_bytes(6, "big") + bytes(
        uuid7_bytes()[6:]
    )


def test_an_empty_server_is_built_from_the_ledger_and_the_journals(kept, journal):
    journal.append(*kept.records(old_id(), reserved=500, charged=100))
    kept.world.ingest()
    journal.append(*kept.records(old_id(), reserved=500, charged=20))
    journal.append(*kept.records(old_id(), reserved=70))
    status = kept.look()
    assert (status.epoch, status.built) == (1, 1)
    sums = kept.sums()
    assert (sums.settled_nano, sums.booked_nano, sums.held_nano) == (100, 20, 70)
    assert kept.books.look().is_awaiting  # the live process has to say so itself
    kept.books.join(f"owner:{kept.owner_of(journal)}")
    assert kept.look().is_well


def test_building_again_sets_and_never_adds(kept, journal):
    journal.append(*kept.records(old_id(), reserved=500, charged=100))
    kept.world.ingest()
    journal.append(*kept.records(old_id(), reserved=70))
    for number in (1, 2, 3):
        kept.client.flushall()
        assert kept.look().epoch == number
        sums = kept.sums()
        assert (sums.settled_nano, sums.booked_nano, sums.held_nano) == (100, 0, 70)


def test_ingest_tells_what_it_booked_and_drops_the_entries(kept, journal):
    kept.look()
    one, owner = uuid7_bytes(), kept.owner_of(journal)
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    kept.books.announce([kept.held(one, 500, owner)])
    assert kept.sums().held_nano == 500
    journal.append(*kept.records(one, reserved=500, charged=100))
    kept.world.ingest()
    sums = kept.sums()
    assert (sums.settled_nano, sums.booked_nano, sums.held_nano) == (100, 0, 0)
    assert kept.books.count_of(owner) == 0


def test_an_older_booking_does_not_overwrite_a_newer_one(kept, journal):
    kept.look()
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    kept.books.look()
    kept.books.post([(kept.budget.pk, MONTH_S, 300, 7)], [])
    kept.books.post([(kept.budget.pk, MONTH_S, 200, 6)], [])
    assert kept.sums().settled_nano == 300


def test_what_redis_did_not_hear_of_is_told_later(kept, journal, monkeypatch):
    kept.look()
    one, owner = old_id(), kept.owner_of(journal)
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    kept.books.announce([kept.held(one, 500, owner)])
    with monkeypatch.context() as away:
        away.setattr(shared_limits, "post", lambda *_: None)
        journal.append(*kept.records(one, reserved=500, charged=100))
        kept.world.ingest()
    assert kept.sums().held_nano == 500
    assert kept.look().tidied == 1
    sums = kept.sums()
    assert (sums.settled_nano, sums.booked_nano, sums.held_nano) == (100, 0, 0)


def test_what_a_dead_process_never_sent_is_given_back(kept):
    """Killed between its reservation and its journal: nothing was sent, nothing is owed."""
    kept.look()
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    kept.books.announce([kept.held(old_id(), 500, stored_owner(kept.journal_id, new_owner()))])
    other = kept.held(old_id(), 30, "another-node/owner")
    kept.books.announce([other])
    assert kept.look().tidied == 1
    assert kept.sums().held_nano == 30


def test_a_dead_process_pays_for_what_it_sent(kept):
    one, owner = old_id(), new_owner()
    kept.look()
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    kept.books.announce([kept.held(one, 500, stored_owner(kept.journal_id, owner))])
    data = b"".join(map(encode_frame, kept.records(one, reserved=500)))
    kept.world.write_bytes(data, owner)
    kept.world.ingest()
    charged = kept.world.requests()[one].charged_nano
    sums = kept.sums()
    assert (sums.settled_nano, sums.booked_nano, sums.held_nano) == (charged, 0, 0)


def test_a_stream_that_runs_keeps_what_it_holds(kept, journal):
    kept.look()
    one, owner = old_id(), kept.owner_of(journal)
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    kept.books.announce([kept.held(one, 500, owner)])
    journal.append(*kept.records(one, reserved=500))
    kept.world.ingest()
    kept.look()
    assert kept.sums().held_nano == 500


def test_other_nodes_are_awaited_as_long_as_they_live(kept):
    beat("living")
    GatewayNode.objects.create(
        pk="silent", host="b", last_seen_at=clock.now() - timedelta(minutes=1)
    )
    kept.look()
    assert kept.books.look().is_awaiting
    assert kept.books.awaited() == {"node:living"}
    GatewayNode.objects.filter(pk="living").update(last_seen_at=clock.now() - timedelta(minutes=1))
    assert kept.look().epoch == 1
    assert not kept.books.look().is_awaiting


def test_a_process_that_died_meanwhile_is_not_awaited(kept):
    kept.look()
    kept.books.look()
    kept.client.hset("test:{limits}:epoch", "w", 1)
    kept.client.sadd("test:{limits}:1:awaiting", f"owner:{kept.journal_id}/{new_owner()}")
    kept.look()
    assert kept.look().is_well


def test_sums_that_somebody_changed_are_put_right_and_counted(kept, journal):
    """F40: the ledger is the truth."""
    kept.look()
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    journal.append(*kept.records(old_id(), reserved=500, charged=100))
    kept.world.ingest()
    kept.books.announce([kept.held(uuid7_bytes(), 50, kept.owner_of(journal))])
    name = f"test:{{limits}}:1:b:{kept.budget.pk}"
    kept.client.hincrby(name, f"h{MONTH_S}", 1_000)
    kept.client.hincrby(name, f"s{MONTH_S}", -77)
    assert kept.look().corrected == 2
    sums = kept.sums()
    assert (sums.settled_nano, sums.booked_nano, sums.held_nano) == (100, 0, 50)
    assert kept.look().corrected == 2


def test_an_adjustment_in_the_admin_is_told_after_its_commit(
    kept, journal, django_capture_on_commit_callbacks
):
    one = old_id()
    kept.look()
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    journal.append(*kept.records(one, reserved=500, charged=100))
    kept.world.ingest()
    with django_capture_on_commit_callbacks(execute=True):
        ledger.adjust(
            request_id=kept.world.requests()[one].request_id,
            charged_delta=-40,
            author="ann",
            reason="a broken answer",
        )
    assert kept.sums().settled_nano == 60


def test_a_server_that_is_away_is_said_so_and_waited_for(kept, valkey_server):
    kept.look()
    valkey_server.kill()
    status = kept.look()
    assert not status.is_well
    assert "Redis does not answer" in status.problem
    valkey_server.start()
    assert kept.look().epoch == 2


def test_what_requests_hold_is_shown_to_the_admin(kept, journal):
    kept.look()
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    kept.books.announce([kept.held(uuid7_bytes(), 500, kept.owner_of(journal))])
    held = shared_limits.held_in_redis([settings_of(kept.budget)])
    assert held == {kept.budget.pk: 500}


def test_what_redis_did_not_hear_goes_along_with_the_next_booking(kept, journal, monkeypatch):
    first, second = uuid7_bytes(), uuid7_bytes()
    kept.look()
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    owner = kept.owner_of(journal)
    kept.books.announce([kept.held(one, 900_000, owner) for one in (first, second)])
    journal.append(*kept.records(first, reserved=900_000, charged=400_000))
    with monkeypatch.context() as away:
        away.setattr(LimitsBooks, "post", _silence)
        kept.world.ingest()
    assert kept.sums().held_nano == 1_800_000  # not booked there: counted by its own entry
    monkeypatch.setattr(shared_limits._process, "failed_at", 0.0)
    journal.append(*kept.records(second, reserved=900_000, charged=300_000))
    kept.world.ingest()
    assert (kept.sums().spent_nano, kept.sums().held_nano) == (700_000, 0)


def test_a_keeper_that_begins_hears_what_an_ingest_did_not_tell(kept, journal, monkeypatch):
    request_id = uuid7_bytes()
    kept.look()
    kept.books.announce([kept.held(request_id, 900_000, kept.owner_of(journal))])
    monkeypatch.setattr(clock, "wall_s", lambda: int.from_bytes(request_id[:6], "big") / 1000)
    monkeypatch.setattr(shared_limits, "post", lambda *_: None)  # killed before it could
    journal.append(*kept.records(request_id, reserved=900_000, charged=400_000))
    kept.world.ingest()
    kept.keeper = LimitsKeeper(kept.world.folder, threading.Event())
    kept.look()
    assert kept.books.entries_of(kept.owner_of(journal), 10) == []


def _silence(*_: object) -> int:
    raise RedisError("nobody answers")


NODES = "/admin/billing/gatewaynode/"


def test_nodes_and_what_they_hold_are_listed_in_a_fixed_number_of_queries(kept, admin_client):
    kept.look()
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    kept.books.announce([kept.held(uuid7_bytes(), 500, f"far/{n}") for n in (1, 1, 2)])
    GatewayNode.objects.create(pk="far", host="far", last_seen_at=MONTH)
    admin_client.get(NODES)
    with CaptureQueriesContext(connection) as few:
        admin_client.get(NODES)
    for number in range(30):
        GatewayNode.objects.create(pk=f"n{number}", host=f"host{number}", last_seen_at=clock.now())
    with CaptureQueriesContext(connection) as many:
        answer = admin_client.get(NODES)
    assert len(few) == len(many)
    assert "silent" in answer.content.decode()
    holdings = {node.pk: node.holding for node in answer.context["cl"].result_list}
    assert holdings["far"] == (2, 3)
    assert holdings["n1"] == (0, 0)


def test_a_node_that_is_declared_lost_frees_what_it_held(kept, admin_client):
    kept.look()
    kept.books.load(shared_limits.loaded([kept.budget.pk]))
    kept.books.announce([kept.held(uuid7_bytes(), 500, "lost/1")])
    kept.books.announce([kept.held(uuid7_bytes(), 20, "living/1")])
    beat("living")
    GatewayNode.objects.create(pk="lost", host="far", last_seen_at=MONTH)
    answer = admin_client.post(
        NODES, {"action": "declare_lost", "_selected_action": ["lost", "living"]}, follow=True
    )
    text = answer.content.decode()
    assert "far is forgotten. Requests of it that hold nothing any more: 1." in text
    assert "was seen a moment ago" in text
    assert kept.sums().held_nano == 20
    assert set(GatewayNode.objects.values_list("pk", flat=True)) >= {"living"}
    assert not GatewayNode.objects.filter(pk="lost").exists()


def test_the_health_of_journals_is_that_of_all_nodes(kept, journal):
    """Also where the admin runs apart from every ingest."""
    elsewhere = Path("elsewhere")
    assert "has not run here yet" in journal_health(elsewhere).problem
    kept.world.ingest()
    kept.look()
    assert journal_health(elsewhere).is_well
    beat("other", IngestStatus(clock.wall_s(), 2**26, 5, 0))
    assert "behind" in journal_health(elsewhere).problem
    beat("other", IngestStatus(clock.wall_s(), 0, 5, 3))
    assert "refused 3 times" in journal_health(elsewhere).problem
    beat("other", IngestStatus(clock.wall_s() - 90, 0, 5, 0))
    assert "silent for 9" in journal_health(elsewhere).problem
