"""Refusals and faults go to the journal, bounded however many there are."""

from __future__ import annotations

import asyncio

import pytest

from apps.accounts.credentials import KeyRecord
from apps.gateway.contracts import GatewayRequest
from apps.gateway.refusals import MOST_KINDS, Refusals
from apps.gateway.tally import keep_tally, write_tally
from apps.usage.records import Tally, encode_frame
from chatvault.lib.errors import JournalUnavailable, ModelNotFound, RateLimited, Unauthenticated
from chatvault.lib.faults import Faults, faults
from tests.fakes.http import HTTP


class NoKeys:
    def find(self, token: bytes) -> None:
        return None


def a_request(alias: str = "m", key_id: int = 1, client_id: int = 1) -> GatewayRequest:
    request = GatewayRequest(id=b"i" * 16, operation="chat", body=b"", started=0.0, accept_ms=0)
    request.alias = alias
    request.key = KeyRecord(key_id, client_id, "k") if key_id else None
    return request


def note(refusals: Refusals, error, **fields) -> None:
    refusals.note(a_request(**fields), error, NoKeys())  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _no_faults():
    faults.take()
    yield
    faults.take()


def tallies(gateway) -> list[Tally]:
    return [record for record in gateway.records() if isinstance(record, Tally)]


def test_what_was_refused_since_the_last_record_is_written_once(gateway):
    for key in ("cv_nobody", "cv_nobody"):
        HTTP.post(f"{gateway.openai_url}/chat/completions", headers={"authorization": key})
    key = gateway.add_client()
    HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json={"model": "nosuch", "messages": []},
        headers={"authorization": f"Bearer {key}"},
    )
    assert write_tally(gateway.plane)
    assert not write_tally(gateway.plane)
    (tally,) = tallies(gateway)
    rows = [(row.client_id, row.key_id, row.alias, row.code, row.count) for row in tally.refused]
    assert rows == [(0, 0, "", "invalid_api_key", 2), (1, 1, "nosuch", "model_not_found", 1)]
    assert tally.refused[0].message == ""
    assert "'nosuch' does not exist" in tally.refused[1].message


def test_an_exception_is_told_by_class_and_place_without_values(gateway, monkeypatch):
    async def fail(*_: object) -> None:
        int("the prompt of somebody")

    monkeypatch.setattr("apps.gateway.http.serve", fail)
    answer = HTTP.post(f"{gateway.openai_url}/chat/completions", json={})
    assert answer.status_code == 500
    write_tally(gateway.plane)
    (fault,) = tallies(gateway)[0].faults
    assert (fault.name, fault.place) == ("ValueError", "apps.gateway.http.answer")
    assert fault.detail.startswith("invalid literal for int() with base 10: '…' (line ")
    assert "prompt" not in str(fault)
    assert fault.request_id.hex() == answer.headers["x-request-id"].replace("-", "")


def test_a_flood_costs_a_bounded_record():
    refusals = Refusals()
    for number in range(3_000):
        error = ModelNotFound("x" * 5_000) if number % 2 else RateLimited("y" * 5_000)
        note(refusals, error, alias="\U0001f600" * 200 + str(number), key_id=number + 1,
             client_id=number % 500 + 1)  # fmt: skip
    for _ in range(1_000):
        note(refusals, Unauthenticated(), key_id=0)
    rows = refusals.pending()
    assert len(rows) <= 2 * MOST_KINDS + 3
    assert sum(row.count for row in rows) == 4_000
    assert len(encode_frame(Tally(1, rows))) < 40_000


def test_what_a_caller_wrote_is_printable():
    refusals = Refusals()
    note(refusals, ModelNotFound("a\x00b"), alias="m\x00\n")
    assert [(row.alias, row.message) for row in refusals.pending()] == [("m��", "a�b")]


async def test_a_record_is_written_when_the_process_stops(gateway):
    note(gateway.plane.refusals, RateLimited())
    task = asyncio.create_task(keep_tally(gateway.plane))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [row.code for row in tallies(gateway)[0].refused] == ["rate_limit_exceeded"]


def test_nothing_is_forgotten_when_the_journal_has_no_room(gateway, monkeypatch):
    note(gateway.plane.refusals, RateLimited())
    faults.note(ZeroDivisionError("1/0"))

    def refuse(*_: object) -> None:
        raise JournalUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(gateway.plane.journal, "append", refuse)
        assert not write_tally(gateway.plane)
    assert write_tally(gateway.plane)
    (tally,) = tallies(gateway)
    assert (len(tally.refused), len(tally.faults)) == (1, 1)


def test_kinds_of_faults_are_bounded():
    many = Faults()
    for number in range(100):
        many.note(type(f"E{number}", (Exception,), {})())
    found = many.take()
    assert len(found) == 25
    assert sum(one.count for one in found) == 100
    assert found[-1].name == "(others)"
