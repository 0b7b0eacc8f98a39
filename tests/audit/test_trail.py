"""What is kept of an event, and that it comes back from the database as it was hashed."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from apps.accounts.models import Team
from apps.audit import chain, trail, values
from apps.audit.acting import Actor, acting, become
from apps.audit.models import AuditEvent, AuditHead
from apps.audit.verify import verify
from chatvault.lib import correlation
from chatvault.lib.redact import Secret
from tests.factories import make_team

pytestmark = pytest.mark.django_db

ADA = Actor("person", "ada", 7, "::ffff:203.0.113.9")


def again(event: AuditEvent) -> AuditEvent:
    return AuditEvent.objects.get(pk=event.pk)


def hash_of_row(event: AuditEvent) -> str:
    return chain.hash_of([getattr(event, name) for name in chain.COVERED])


def test_an_event_says_who_did_what_to_which_row_and_for_which_request() -> None:
    team = make_team(name="research")
    with acting(ADA), correlation.within("req-1"):
        made = trail.record(
            "team.changed", target=team, team_id=team.pk, before={"a": 1}, after={"a": 2}
        )
    row = again(made)
    assert (row.actor_kind, row.actor, row.user_id, row.address) == (
        "person", "ada", 7, "203.0.113.9",
    )  # fmt: skip
    assert (row.topic, row.action, row.team_id, row.request_id) == (
        "team", "team.changed", team.pk, "req-1",
    )  # fmt: skip
    assert (row.target_type, row.target_id, row.target) == (
        "accounts.team", str(team.pk), "research",
    )  # fmt: skip
    assert (row.before, row.after) == ({"a": 1}, {"a": 2})


@pytest.mark.parametrize(
    "value",
    [
        1e308, 1e-7, -0.0, float("nan"), 10**40, True, None, "", "\x00nul", "\ud800 half",
        "é\u2028", "e\u0301", [1.5, {"deep": {"deeper": (1, 2)}}], Decimal("1.10"),
        {"b": 1, "a": 2}, {3, 1, 2},
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.time(3), b"bytes", "x" * 9_999,
        {"1": "x", 1: "y"}, list(range(500)),
    ],
)  # fmt: skip
def test_any_value_has_the_same_hash_after_the_round_trip(value: Any) -> None:
    made = trail.record("test.value", before={"v": value}, after={"é\x00": value})
    assert hash_of_row(again(made)) == made.hash
    assert verify().findings == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("203.0.113.9", "203.0.113.9"), ("2001:DB8::0:1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("fe80::1%eth0", "fe80::1"), ("[::1]", "::1"), ("unix:", None), ("", None), (None, None),
        ("' OR 1=1 --", None),
    ],
)  # fmt: skip
def test_addresses_have_one_form(given: str | None, kept: str | None) -> None:
    made = trail.record("test.address", actor=Actor("person", "x", address=given))
    assert again(made).address == kept
    assert hash_of_row(again(made)) == made.hash


@pytest.mark.parametrize("micros", [0, 1, 100_000, 999_999])
def test_times_are_kept_to_the_microsecond(micros: int, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime.datetime(2026, 11, 25, 23, 59, 59, micros, tzinfo=datetime.UTC)
    monkeypatch.setattr(trail.clock, "now", lambda: at)
    made = trail.record("test.time")
    assert again(made).at == at
    assert hash_of_row(again(made)) == made.hash


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("password", "hunter2", "***"),
        ("password1", "hunter2", "***"),
        ("new_secret", "plain", "***"),
        ("new_secret", "env:OPENAI_API_KEY", "env:OPENAI_API_KEY"),
        ("new_secret", "", ""),
        ("client_secret", ["one", "two"], ["***", "***"]),
        ("providers[openai].credentials[main].secret", "sealed:abc", "***"),
        ("note", "use sk-abcdefghijkl please", "use *** please"),
        ("note", Secret("quiet"), "***"),
        ("note", b"bytes", "***"),
        ("max_output_tokens", 4096, 4096),
        ("token_lifetime_s", 900, 900),
        ("secretary", "Bob", "Bob"),
    ],
)
def test_secrets_are_masked_by_type_name_and_looks(name: str, value: Any, kept: Any) -> None:
    assert values.fields({name: value}) == {name: kept}


def test_long_values_are_cut_and_say_so() -> None:
    kept = values.fields({"text": "word " * 400, "many": range(300)})
    assert kept["text"].endswith("(2,000 characters)")
    assert len(kept["text"]) < 530
    assert kept["many"][-1] == "200 more"


def test_the_chain_starts_at_zero_and_links_every_event() -> None:
    first, second = trail.record("a.b"), trail.record("c.d")
    assert (first.id, first.previous_hash) == (1, chain.START)
    assert (second.id, second.previous_hash) == (2, first.hash)
    head = AuditHead.objects.get()
    assert (head.last_id, head.hash, head.key_id) == (2, second.hash, "t1")


def test_the_api_may_name_another_actor_within_a_request() -> None:
    with acting(Actor("anonymous", "nobody", None, "192.0.2.1")):
        become(Actor("key", "ci"))
        row = trail.record("a.b")
    assert (row.actor_kind, row.actor, row.address) == ("key", "ci", "192.0.2.1")
    assert trail.record("a.b").actor_kind == "system"


def test_a_change_that_cannot_be_recorded_does_not_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError("no hash")

    monkeypatch.setattr(chain, "hash_of", broken)
    with pytest.raises(RuntimeError), transaction.atomic():
        team = make_team(name="ghost")
        trail.record("team.added", target=team)
    assert not Team.objects.filter(name="ghost").exists()
    assert not AuditEvent.objects.exists()


def test_an_event_whose_change_is_undone_is_undone_as_well() -> None:
    trail.record("a.b")
    with pytest.raises(RuntimeError), transaction.atomic():
        trail.record("c.d")
        raise RuntimeError
    assert trail.record("e.f").id == 2
    assert verify().findings == 0


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditevent SET actor = 'somebody else'",
        "DELETE FROM audit_auditevent",
        "UPDATE audit_auditcheckpoint SET findings = 0",
        "DELETE FROM audit_auditcheckpoint",
        "UPDATE audit_audithead SET last_id = 1",
        "DELETE FROM audit_audithead",
        "TRUNCATE audit_auditevent",
        "TRUNCATE audit_audithead",
        "TRUNCATE audit_auditcheckpoint",
    ],
)
def test_the_database_itself_refuses_to_change_what_is_written(statement: str) -> None:
    from apps.audit import checkpoints

    if statement.startswith("TRUNCATE") and connection.vendor == "sqlite":
        pytest.skip("SQLite knows no TRUNCATE")
    trail.record("a.b")
    trail.record("c.d")
    checkpoints.check_all()
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    trail.record("e.f")
    assert verify().findings == 0
