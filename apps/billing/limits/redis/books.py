"""The ledger's side of the limits in Redis: what ingest, the keeper and the admin say and ask.

Synchronous, for processes that have a database; gateways answer requests without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError
from redis.retry import Retry
from redis.sentinel import Sentinel

from apps.billing.limits.contract import QuotaLimit
from apps.billing.limits.redis.address import Address
from apps.billing.limits.redis.limits import LoadedBudget
from apps.billing.limits.redis.script import (
    SHA,
    SOURCE,
    UNITS,
    Op,
    checked,
    decode,
    encode,
    id_of,
    news_channel,
    root_key,
)
from apps.billing.limits.windows import SUBSLOTS

RedisError = redis.RedisError

_OF_A_CALL: Final = 500  # operations of the script block the server: each is kept short
_PATCHED: Final = ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2))


class OtherEpoch(Exception):
    """The server was built anew, or is empty: nothing was done."""


class Epoch(NamedTuple):
    """What rules on the server. `is_current`: it was built on this very run of it."""

    number: int
    is_current: bool
    is_awaiting: bool


class Held(NamedTuple):
    """One request that is not booked yet, for `announce`."""

    owner: str
    request_id: bytes
    tokens: int
    nano_usd: int
    is_settled: bool
    windows: tuple[tuple[int, int], ...]


class WindowSums(NamedTuple):
    """Nano-USD of one window as Redis knows it. `settled` is what the ledger said at the booking
    of that number, `booked` is owed and not in it yet, `held` is in flight."""

    settled_nano: int
    booking: int
    booked_nano: int
    held_nano: int

    @property
    def spent_nano(self) -> int:
        return self.settled_nano + self.booked_nano


class LimitsBooks:
    """Everything is done in the epoch that `look` saw last. Raises RedisError and OtherEpoch."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._root = root_key(prefix)
        self._channel = news_channel(prefix)
        self._number = 0
        self.server_ns = 0  # its wall clock, at the last operation

    def look(self) -> Epoch | None:
        """The epoch that rules; None: the server is empty."""
        fields = (b"n", b"run", b"w")
        number, run, waiting = cast(list[Any], self._client.hmget(f"{self._root}:epoch", fields))
        if number is None:
            self._number = 0
            return None
        self._number = int(number)
        return Epoch(self._number, run == self.run_id().encode(), waiting == b"1")

    def run_id(self) -> str:
        return str(self._info("server").get("run_id", ""))

    def warnings(self) -> list[str]:
        """What is wrong with the server itself, in sentences."""
        server, memory = self._info("server"), self._info("memory")
        found = []
        version = str(server.get("redis_version", "0"))
        if "valkey_version" not in server and is_vulnerable(version):
            found.append(
                f"Redis {version} lets whoever may run scripts take it over (CVE-2025-49844): "
                "update it, or see that your distribution has patched it."
            )
        if int(memory.get("maxmemory", 0)) and memory.get("maxmemory_policy") != "noeviction":
            found.append(
                f"Redis evicts keys when it is full ({memory.get('maxmemory_policy')}): budgets "
                "need maxmemory-policy noeviction."
            )
        return found

    def claim(self, seconds: float) -> bool:
        """The right to build the next epoch, for a while; nobody else has it then."""
        key = f"{self._root}:builder"
        return bool(self._client.set(key, b"1", nx=True, px=int(seconds * 1000)))

    def build(
        self, number: int, budgets: Iterable[LoadedBudget], members: Sequence[str], run_id: str
    ) -> None:
        """Begin the epoch `number`: what the ledger says is set, never added to, and requests
        with a budget wait until every member has said what it holds."""
        self._number = number
        name = f"{self._root}:epoch"
        if members:
            self._client.sadd(f"{self._root}:{number}:awaiting", *members)
        newest = cast(bytes | None, self._client.hget(name, "n"))
        if newest is not None and int(newest) >= number:
            raise OtherEpoch
        self._client.hset(name, mapping={"n": number, "run": b"", "w": b"1"})
        for part in _parts(list(budgets)):
            self._do((Op.LOAD, [budget.asked() for budget in part]))
        waits = b"1" if members else b"0"
        self._client.hset(name, mapping={"run": run_id, "w": waits})
        self._client.delete(f"{self._root}:builder")

    def load(self, budgets: Iterable[LoadedBudget]) -> None:
        for part in _parts(list(budgets)):
            self._do((Op.LOAD, [budget.asked() for budget in part]))

    def post(
        self,
        windows: Sequence[tuple[int, int, int, int]],
        entries: Sequence[tuple[str, bytes]],
    ) -> int:
        """What the ledger says now of windows (budget id, start, settled nano-USD, booking), and
        which requests (owner, id) are part of it; returns how many of these were known."""
        told = [(budget, start, str(nano), booking) for budget, start, nano, booking in windows]
        parts: list[list[Any]] = list(_parts([(owner, id_of(one)) for owner, one in entries]))
        first, *others = parts or [[]]
        return sum(self._do((Op.POST, told, first), *((Op.POST, [], part) for part in others)))

    def announce(self, held: Iterable[Held]) -> None:
        """What requests hold that may be unknown here; known ones are let be."""
        operations: list[tuple[Any, ...]] = [
            (Op.ANNOUNCE, h.owner, id_of(h.request_id), h.tokens, str(h.nano_usd), h.is_settled,
             list(h.windows), [])
            for h in held
        ]  # fmt: skip
        for part in _parts(operations):
            self._do(*part)

    def join(self, member: str, others: Sequence[str] = ()) -> int:
        """A member has said what it holds; returns how many are awaited still."""
        return int(self._do((Op.JOINED, member, list(others)))[0])

    def awaited(self) -> set[str]:
        members = cast(set[bytes], self._client.smembers(self._key("awaiting")))
        return {member.decode() for member in members}

    def owners(self) -> set[str]:
        members = cast(set[bytes], self._client.smembers(self._key("owners")))
        return {member.decode() for member in members}

    def entries_of(self, owner: str, most: int) -> list[bytes]:
        """Ids of what an owner holds, grants left out; not all where there are more."""
        _, some = cast(Any, self._client.hscan(self._key(f"r:{owner}"), 0, count=most))
        return [request_id for request_id in some if len(request_id) == 16]

    def count_of(self, owner: str) -> int:
        return self._client.hlen(self._key(f"r:{owner}"))

    def counts(self) -> dict[str, int]:
        """Entries by owner, grants among them; owners that hold nothing are left out."""
        owners = sorted(self.owners())
        with self._client.pipeline(transaction=False) as pipe:
            for owner in owners:
                pipe.hlen(self._key(f"r:{owner}"))
            counts = pipe.execute()
        return {owner: count for owner, count in zip(owners, counts, strict=True) if count}

    def forget(self, owner: str, request_ids: Sequence[bytes] | None = None) -> int:
        """Drop what an owner holds: nothing of it was sent, or it is lost for good."""
        ids = None if request_ids is None else [id_of(one) for one in request_ids]
        return int(self._do((Op.FORGET, owner, ids))[0])

    def audit(self, budget_ids: Sequence[int], most: int) -> tuple[int, int]:
        """How many entries there are, and how many sums were wrong and are right now; -1: there
        are more entries than `most`, nothing was looked at."""
        count, wrong = self._do((Op.AUDIT, most, list(budget_ids)))[0]
        return int(count), int(wrong)

    def sums(self, windows: Sequence[tuple[int, int]]) -> dict[tuple[int, int], WindowSums]:
        """By budget id and start; windows that Redis does not know are left out."""
        with self._client.pipeline(transaction=False) as pipe:
            for budget_id, start_s in windows:
                names = ("p", f"s{start_s}", f"v{start_s}", f"k{start_s}", f"h{start_s}")
                pipe.hmget(self._key(f"b:{budget_id}"), names)
            rows = pipe.execute()
        return {
            window: WindowSums(*(int(value or 0) for value in values))
            for window, (period, *values) in zip(windows, rows, strict=True)
            if period is not None
        }

    def used(self, quotas: Sequence[QuotaLimit], now_us: int = 0) -> dict[int, int]:
        """What counts now, by the server's clock if no time is given, by quota id; changes
        nothing."""
        if not now_us:
            seconds, rest = self._client.time()
            now_us = seconds * 1_000_000 + rest
        with self._client.pipeline(transaction=False) as pipe:
            for quota in quotas:
                if quota.unit == "concurrency":
                    pipe.zrangebyscore(self._key(f"c:{quota.id}"), f"({now_us}", "+inf")
                else:
                    pipe.hgetall(self._key(f"q:{quota.id}:{UNITS[quota.unit]}"))
            found = pipe.execute()
        return {
            quota.id: len(known) if quota.unit == "concurrency" else _counted(known, now_us)
            for quota, known in zip(quotas, found, strict=True)
        }

    def clean_up(self) -> int:
        """Remove what earlier epochs left behind; a little at a time."""
        current, removed = self._key("").encode(), 0
        for key in self._client.scan_iter(match=f"{self._root}:[0-9]*", count=500):
            if not key.startswith(current):
                removed += self._client.unlink(key)
            if removed >= _OF_A_CALL:
                break
        return removed

    def publish(self) -> None:
        """There are announcements."""
        self._client.publish(self._channel, b"1")

    def close(self) -> None:
        self._client.close()

    def _key(self, name: str) -> str:
        return f"{self._root}:{self._number}:{name}"

    def _info(self, section: str) -> Mapping[str, Any]:
        """Of the node that has our keys."""
        if isinstance(self._client, RedisCluster):
            node = self._client.get_node_from_key(self._root)
            return cast(Mapping[str, Any], self._client.info(section, target_nodes=node))
        return cast(Mapping[str, Any], self._client.info(section))

    def _do(self, *operations: tuple[Any, ...]) -> list[Any]:
        blob = encode((self._number, 0, "", 0, operations))
        try:
            reply = self._client.evalsha(SHA, 1, self._root, blob)
        except NoScriptError:
            self._client.script_load(SOURCE)
            reply = self._client.evalsha(SHA, 1, self._root, blob)
        state, now_us, answers = decode(cast(bytes, reply))
        self.server_ns = now_us * 1000
        if state:
            raise OtherEpoch
        return [checked(answer) for answer in answers]


def client_of(address: Address, *, timeout_s: float) -> redis.Redis:
    """A synchronous client. It connects at its first command."""
    common: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),  # callers know when to ask again
    }
    if address.password:
        common |= {"username": address.user or None, "password": address.password.reveal()}
    if address.path:
        return redis.Redis(unix_socket_path=address.path, db=address.database, **common)
    tls: dict[str, Any] = {"ssl": True, "ssl_ca_certs": address.ca_file or None}
    common |= tls if address.is_tls else {}
    if address.mode == "sentinel":
        watched: Any = cast(Any, Sentinel)(list(address.sentinels), sentinel_kwargs=dict(common))
        return cast(redis.Redis, watched.master_for(address.service, db=address.database, **common))
    if address.mode == "cluster":
        return cast(redis.Redis, RedisCluster(address.host, address.port, **common))
    return redis.Redis(address.host, address.port, db=address.database, **common)


def is_vulnerable(version: str) -> bool:
    """Whether a Redis of this version has the flaw of October 2025 in its Lua engine."""
    numbers = tuple(int(part) if part.isdigit() else 0 for part in version.split("."))[:3]
    line = [fixed for fixed in _PATCHED if fixed[:2] == numbers[:2]]
    return numbers < line[0] if line else numbers < _PATCHED[-1]


def _counted(window: Mapping[bytes, bytes], now_us: int) -> int:
    """What the sub-slots of a window count now."""
    if b"w" not in window:
        return 0
    oldest = now_us // int(window[b"w"]) - SUBSLOTS
    slots = [(int(name), int(count)) for name, count in window.items() if name.isdigit()]
    return sum(count for slot, count in slots if slot >= oldest)


def _parts(items: list[Any]) -> Iterable[list[Any]]:
    for at in range(0, len(items), _OF_A_CALL):
        yield items[at : at + _OF_A_CALL]
