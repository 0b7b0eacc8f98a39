from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping, Sequence

import pytest

from apps.accounts.credentials import (
    OAUTH_PREFIX,
    Asker,
    KeyRecord,
    Question,
    digest,
    hint_of,
    is_well_formed,
    issue_secret,
)
from apps.accounts.key_cache import KeyCache
from chatvault.lib.errors import KeysUnavailable, Unauthenticated

PEPPER = b"p" * 32
ALICE = KeyRecord(key_id=1, client_id=1, name="alice")


class Database:
    """Stands for the rows: what it holds, what it was asked, whether it answers."""

    def __init__(self) -> None:
        self.rows: dict[str, KeyRecord] = {}
        self.asked: list[list[str]] = []
        self.is_down = False
        self.gate: asyncio.Event | None = None

    async def load(self, questions: Sequence[Question]) -> Mapping[str, KeyRecord]:
        digests = [question.digest for question in questions]
        self.asked.append(list(digests))
        if self.is_down:
            raise OSError("no route to host")
        found = {key: self.rows[key] for key in digests if key in self.rows}
        if self.gate is not None:
            await self.gate.wait()
        return found

    def issue(self, record: KeyRecord = ALICE) -> bytes:
        token = issue_secret().encode()
        self.rows[digest(token, PEPPER)] = record
        return token


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def time() -> Time:
    return Time()


def make_cache(database: Database, time: Time, **options: float) -> KeyCache:
    return KeyCache(database.load, asker=Asker([PEPPER]), monotonic=time, **options)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_issued_keys_have_their_form_and_differ():
    keys = {issue_secret() for _ in range(500)}
    assert len(keys) == 500
    for key in keys:
        assert key.startswith("cv_")
        assert len(key) == 52
        assert is_well_formed(key.encode())


def test_one_wrong_character_is_noticed():
    key = issue_secret()
    for at in range(3, len(key)):
        wrong = key[:at] + ("A" if key[at] != "A" else "B") + key[at + 1 :]
        assert not is_well_formed(wrong.encode()), at


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (b"", False),
        (b"cv_", False),
        (b"cv_short", False),
        (b"x" * 19, False),
        (b"x" * 20, True),
        (b"x" * 256, True),
        (b"x" * 257, False),
        (b"sk-proj-abcdefghijklmnop", True),
        (b"with blank in the middle", False),
        ("geheimnisvolle-schlüssel".encode(), False),
        (b"nul\x00" * 8, False),
        (b"cv_" + b"A" * 49, False),
    ],
)
def test_form_of_given_keys(token, expected):
    assert is_well_formed(token) is expected


def test_digest_is_hmac_sha256_under_the_pepper():
    expected = hmac.new(PEPPER, b"token", "sha256").hexdigest()
    assert digest(b"token", PEPPER) == expected
    assert digest(b"token", b"q" * 32) != expected


def test_hint_shows_ends_only():
    key = issue_secret()
    assert hint_of(key) == f"{key[:6]}…{key[-4:]}"
    assert len(hint_of(key)) <= 16


async def test_a_key_is_looked_up_once(database, time):
    cache, token = make_cache(database, time), database.issue()
    assert cache.find(token) is None
    assert await cache.get(token) == ALICE
    assert cache.find(token) == ALICE
    assert await cache.get(token) == ALICE
    assert database.asked == [[digest(token, PEPPER)]]


async def test_what_is_looked_up_is_never_the_key(database, time):
    cache, token = make_cache(database, time), database.issue()
    await cache.get(token)
    assert token.decode() not in repr(database.asked)
    assert token.decode() not in repr(vars(cache))


async def test_many_askers_share_one_lookup(database, time):
    cache, token = make_cache(database, time), database.issue()
    assert await asyncio.gather(*(cache.get(token) for _ in range(100))) == [ALICE] * 100
    assert len(database.asked) == 1


async def test_many_keys_share_lookups(database, time):
    cache = make_cache(database, time)
    tokens = [database.issue() for _ in range(900)]
    await asyncio.gather(*(cache.get(token) for token in tokens))
    assert [len(batch) for batch in database.asked] == [500, 400]


async def test_an_asker_that_leaves_does_not_take_the_answer_along(database, time):
    cache, token = make_cache(database, time), database.issue()
    database.gate = asyncio.Event()
    leaver = asyncio.create_task(cache.get(token))
    stayer = asyncio.create_task(cache.get(token))
    await settle()
    leaver.cancel()
    database.gate.set()
    assert await stayer == ALICE


async def test_an_unknown_key_is_remembered_as_unknown(database, time):
    cache, token = make_cache(database, time), issue_secret().encode()
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await cache.get(token)
    assert len(database.asked) == 1
    time.now += 13
    with pytest.raises(Unauthenticated):
        await cache.get(token)
    assert len(database.asked) == 2


async def test_a_key_with_a_wrong_checksum_is_refused_without_asking(database, time):
    cache = make_cache(database, time)
    for number in range(1000):
        with pytest.raises(Unauthenticated):
            await cache.get(b"cv_%049d" % number)
    assert database.asked == []
    assert cache.unknown_count == 0


async def test_a_flood_of_unknown_keys_is_bounded_and_spares_the_known(database, time):
    cache, token = make_cache(database, time, size=10, unknown_size=50), database.issue()
    await cache.get(token)
    flood = [b"sk-unknown-%020d" % number for number in range(2000)]
    refused = await asyncio.gather(*map(cache.get, flood), return_exceptions=True)
    assert all(isinstance(error, Unauthenticated) for error in refused)
    assert cache.unknown_count == 50
    assert cache.find(token) == ALICE
    assert len(database.asked) <= 6


async def test_known_keys_are_bounded_least_recently_used_first(database, time):
    cache = make_cache(database, time, size=2)
    one, two, three = (database.issue() for _ in range(3))
    await cache.get(one)
    await cache.get(two)
    cache.find(one)
    await cache.get(three)
    assert len(cache) == 2
    assert cache.find(two) is None
    assert cache.find(one) == cache.find(three) == ALICE


async def test_a_stale_key_is_served_and_confirmed_behind(database, time):
    cache, token = make_cache(database, time), database.issue()
    await cache.get(token)
    database.rows[digest(token, PEPPER)] = KeyRecord(1, 1, "alice", is_active=False)
    time.now += 75
    assert cache.find(token) is None
    assert (await cache.get(token)).is_active
    await settle()
    assert cache.find(token) == KeyRecord(1, 1, "alice", is_active=False)


async def test_known_keys_outlive_a_dead_database_for_a_quarter_of_an_hour(database, time):
    cache, token = make_cache(database, time), database.issue()
    await cache.get(token)
    database.is_down = True
    for _ in range(15):
        time.now += 60
        assert await cache.get(token) == ALICE
        await settle()
    time.now += 1000
    with pytest.raises(KeysUnavailable):
        await cache.get(token)
    database.is_down = False
    assert await cache.get(token) == ALICE


async def test_a_dead_database_is_not_asked_by_every_request(database, time):
    cache, token = make_cache(database, time), database.issue()
    await cache.get(token)
    database.is_down = True
    time.now += 75
    for _ in range(100):
        await cache.get(token)
        await settle()
    assert len(database.asked) == 2


async def test_unknown_is_not_unauthenticated_when_nobody_can_be_asked(database, time):
    cache, token = make_cache(database, time), database.issue()
    database.is_down = True
    with pytest.raises(KeysUnavailable):
        await cache.get(token)
    database.is_down = False
    assert await cache.get(token) == ALICE


async def test_a_database_that_hangs_is_given_up_on(database, time):
    cache, token = make_cache(database, time, load_timeout_s=0.02), database.issue()
    database.gate = asyncio.Event()
    with pytest.raises(KeysUnavailable):
        await cache.get(token)


async def test_a_dropped_key_is_asked_for_again(database, time):
    cache, token = make_cache(database, time), database.issue()
    await cache.get(token)
    del database.rows[digest(token, PEPPER)]
    cache.drop(digest(token, PEPPER))
    with pytest.raises(Unauthenticated):
        await cache.get(token)


async def test_an_issued_key_works_although_it_was_unknown_before(database, time):
    cache, token = make_cache(database, time), issue_secret().encode()
    with pytest.raises(Unauthenticated):
        await cache.get(token)
    database.rows[digest(token, PEPPER)] = ALICE
    cache.drop(digest(token, PEPPER))
    assert await cache.get(token) == ALICE


@pytest.mark.parametrize("forget", ["drop", "clear", "expire"])
async def test_an_answer_from_before_a_revocation_is_not_kept(database, time, forget):
    cache, token = make_cache(database, time), database.issue()
    database.gate = asyncio.Event()
    early = asyncio.create_task(cache.get(token))
    await settle()
    database.rows.clear()
    getattr(cache, forget)(*([digest(token, PEPPER)] if forget == "drop" else []))
    database.gate.set()
    await early
    with pytest.raises(Unauthenticated):
        await cache.get(token)


async def test_an_expired_entry_is_confirmed_before_it_is_served(database, time):
    cache, token = make_cache(database, time), database.issue()
    await cache.get(token)
    disabled = KeyRecord(1, 1, "alice", is_active=False)
    database.rows[digest(token, PEPPER)] = disabled
    cache.expire()
    assert await cache.get(token) == disabled
    database.rows.clear()
    cache.expire()
    with pytest.raises(Unauthenticated):
        await cache.get(token)


async def test_an_expired_entry_serves_while_nobody_can_be_asked(database, time):
    cache, token = make_cache(database, time), database.issue()
    await cache.get(token)
    database.is_down = True
    cache.expire()
    assert cache.find(token) is None
    assert await cache.get(token) == ALICE


async def test_a_row_under_another_digest_is_dropped_by_that_digest(database, time):
    cache = make_cache(database, time)
    token = issue_secret().encode()
    database.rows[digest(token, PEPPER)] = KeyRecord(1, 1, "alice", stored="older")
    assert (await cache.get(token)).name == "alice"
    cache.drop("older")
    assert cache.find(token) is None


async def test_an_announced_holder_loses_all_that_is_remembered(database, time):
    cache = make_cache(database, time)
    one = database.issue(KeyRecord(0, 7, "jwt", kind="jwt", user_id=3, session_id=9))
    two = database.issue(KeyRecord(0, 7, "jwt", kind="jwt", user_id=33, session_id=90))
    for token in (one, two):
        await cache.get(token)
    for holder in ("user:3", "user:x", "user:", "nobody:3", "session:0"):
        cache.drop_holder(holder)
    assert cache.find(one) is None
    assert cache.find(two) is not None
    cache.drop_holder("client:7")
    assert cache.find(two) is None


async def test_an_answer_under_way_is_not_kept_when_its_holder_changes(database, time):
    cache = make_cache(database, time)
    token = database.issue(KeyRecord(0, 7, "jwt", kind="jwt", user_id=3))
    database.gate = asyncio.Event()
    asking = asyncio.ensure_future(cache.get(token))
    await settle()
    cache.drop_holder("user:3")
    database.gate.set()
    await asking
    assert cache.find(token) is None


@pytest.mark.parametrize(
    ("token", "kind", "candidates"),
    [
        (issue_secret().encode(), "key", 2),
        (b"sk-proj-abcdefghijklmnop", "key", 3),
        (issue_secret(OAUTH_PREFIX).encode(), "oauth", 1),
    ],
    ids=["a key of ours", "a given key", "an OAuth token"],
)
def test_credentials_are_told_apart(token, kind, candidates):
    question = Asker([PEPPER, b"o" * 32]).question(token)
    assert question.kind == kind
    assert len(question.candidates) == candidates
    assert question.digest == digest(token, PEPPER)


@pytest.mark.parametrize(
    "token",
    [
        b"cvo_" + b"A" * 49,
        b"cvo_" + b"A" * 10,
        issue_secret("cvr_").encode(),
        b"cvr_" + b"A" * 49,
        b"eyJhbGciOiJub25lIn0.e30.",
    ],
    ids=["wrong checksum", "too short", "a refresh token", "wrong refresh token", "a JWT"],
)
def test_what_cannot_be_anybodys_is_not_asked_about(token):
    with pytest.raises(Unauthenticated):
        Asker([PEPPER]).question(token)
