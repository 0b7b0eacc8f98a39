"""The credentials that one process knows, and how it asks about those that it does not."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from apps.accounts.credentials import Asker, KeyRecord, Question, is_jwt
from chatvault.lib import clock
from chatvault.lib.errors import KeysUnavailable, Unauthenticated

JITTER: Final = 0.2
BATCH: Final = 500
MAX_WAITING: Final = 20_000

Loader = Callable[[Sequence[Question]], Awaitable[Mapping[str, KeyRecord]]]
"""Answers questions by their digests, as far as there is an answer; any exception means that it
could not ask."""

Answer = asyncio.Future[KeyRecord | None]


class _Entry:
    __slots__ = ("confirmed_at", "is_doubted", "record", "stale_at")

    def __init__(self, record: KeyRecord, confirmed_at: float, stale_at: float) -> None:
        self.record = record
        self.confirmed_at = confirmed_at
        self.stale_at = stale_at
        self.is_doubted = False


class KeyCache:
    """The keys that one process knows, least recently used first to go.

    - A record younger than `ttl_s` is served at once. An older one is served too and asked for
      again in the background; one that could not be confirmed for `keep_s` is not served.
    - Unknown keys are remembered for `unknown_ttl_s`, in a cache of their own so that a flood of
      them cannot push out the good ones.
    - Digests that are asked for while a look-up runs are looked up together afterwards.

    All times in seconds. Belongs to one event loop.
    """

    def __init__(
        self,
        load: Loader,
        *,
        asker: Asker,
        size: int = 10_000,
        unknown_size: int = 50_000,
        ttl_s: float = 60.0,
        unknown_ttl_s: float = 10.0,
        keep_s: float = 1800.0,
        load_timeout_s: float = 5.0,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._load = load
        self._asker = asker
        self._size = size
        self._unknown_size = unknown_size
        self._ttl_s = ttl_s
        self._unknown_ttl_s = unknown_ttl_s
        self._keep_s = keep_s
        self._load_timeout_s = load_timeout_s
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._asked: dict[str, tuple[Question, Answer]] = {}
        self._asking: dict[str, Answer] = {}
        self._stored: dict[str, str] = {}  # digest of a row to digest of what was shown
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._known)

    @property
    def unknown_count(self) -> int:
        return len(self._unknown)

    def find(self, token: bytes) -> KeyRecord | None:
        """The record if this process has it fresh; None: `await get(token)`."""
        key = self._asker.digest(token)
        entry = self._known.get(key)
        if entry is None or self._monotonic() >= entry.stale_at:
            return None
        self._known.move_to_end(key)
        return entry.record

    def is_known(self, token: bytes) -> bool:
        """Whether it was good when it was last asked about, however long ago."""
        return self._asker.digest(token) in self._known

    async def get(self, token: bytes) -> KeyRecord:
        """The record of a credential. Raises Unauthenticated for one that does not exist, and
        KeysUnavailable when nobody can be asked about one that is not known here."""
        key = self._asker.digest(token)
        now = self._monotonic()
        entry = self._known.get(key)
        if entry is not None and now < entry.confirmed_at + self._keep_s:
            self._known.move_to_end(key)
            return await self._confirmed(token, key, entry, now)
        if self._unknown.get(key, 0.0) > now:
            raise Unauthenticated
        record = await asyncio.shield(self._ask(self._question(token, key)))
        if record is None:
            raise Unauthenticated
        return record

    async def _confirmed(self, token: bytes, key: str, entry: _Entry, now: float) -> KeyRecord:
        if now < entry.stale_at or len(self._asked) >= MAX_WAITING:
            return entry.record
        asked = self._ask(self._question(token, key))
        if not entry.is_doubted:
            return entry.record
        try:
            record = await asyncio.shield(asked)
        except KeysUnavailable:
            return entry.record
        if record is None:
            raise Unauthenticated
        return record

    def _question(self, token: bytes, key: str) -> Question:
        """A JWT that is nobody's is not looked at again for a while: its signature costs most."""
        try:
            return self._asker.question(token)
        except Unauthenticated:
            if is_jwt(token):
                self._keep(key, None)
            raise

    def drop(self, key_digest: str) -> None:
        """Forget a key that changed; an answer that is under way is not kept either.
        An empty digest stands for all keys."""
        if not key_digest:
            self.clear()
            return
        key = self._stored.pop(key_digest, key_digest)
        if self._known.pop(key, None) is None and self._unknown.pop(key, None) is None:
            self._unknown.clear()  # it may be known as unknown by another digest
        if self._asking.pop(key, None) is None:
            self._asking.clear()

    def drop_holder(self, holder: str) -> None:
        """Forget every credential of `user:3`, `client:7` or whoever else is announced."""
        gone = [key for key, one in self._known.items() if one.record.is_held_by(holder)]
        for key in gone:
            self._forget(key)
        self._asking.clear()

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
        self._unknown.clear()
        self._asking.clear()
        self._stored.clear()

    def expire(self) -> None:
        """Confirm every key anew before its next use; what is known serves only as long as
        nobody can be asked."""
        for entry in self._known.values():
            entry.stale_at = 0.0
            entry.is_doubted = True
        self._unknown.clear()
        self._asking.clear()

    def _ask(self, question: Question) -> Answer:
        key = question.digest
        future = self._asking.get(key)
        if future is not None:
            return future
        if key in self._asked:
            return self._asked[key][1]
        if len(self._asked) >= MAX_WAITING:
            raise KeysUnavailable
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(_observe)
        self._asked[key] = (question, future)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._answer_all())
        return future

    async def _answer_all(self) -> None:
        while self._asked:
            keys = list(self._asked)[:BATCH]
            taken = [self._asked.pop(key) for key in keys]
            batch = {question.digest: future for question, future in taken}
            self._asking.update(batch)
            try:
                async with asyncio.timeout(self._load_timeout_s):
                    found = await self._load([question for question, _ in taken])
            except Exception:  # whatever kept the loader from asking: the keys are not to blame
                self._give_up(batch)
            else:
                for key, future in batch.items():
                    self._answer(key, future, found.get(key))

    def _answer(self, key: str, future: Answer, record: KeyRecord | None) -> None:
        if self._asking.pop(key, None) is future:  # not dropped meanwhile
            self._keep(key, record)
        if not future.done():
            future.set_result(record)

    def _keep(self, key: str, record: KeyRecord | None) -> None:
        now = self._monotonic()
        if record is None:
            self._forget(key)
            self._unknown[key] = now + _jittered(self._unknown_ttl_s)
            while len(self._unknown) > self._unknown_size:
                self._unknown.popitem(last=False)
            return
        self._unknown.pop(key, None)
        self._known[key] = _Entry(record, now, now + _jittered(self._ttl_s))
        self._known.move_to_end(key)
        if record.stored and record.stored != key:
            self._stored[record.stored] = key
        while len(self._known) > self._size:
            self._forget(next(iter(self._known)))

    def _forget(self, key: str) -> None:
        entry = self._known.pop(key, None)
        if entry is not None and entry.record.stored:
            self._stored.pop(entry.record.stored, None)

    def _give_up(self, batch: dict[str, Answer]) -> None:
        """Known keys are asked for again in a second or so, unknown ones at their next use."""
        retry_at = self._monotonic() + _jittered(1.0)
        for key, future in batch.items():
            if self._asking.get(key) is future:
                del self._asking[key]
            entry = self._known.get(key)
            if entry is not None:
                entry.stale_at = retry_at
            if not future.done():
                future.set_exception(KeysUnavailable())


def _jittered(seconds: float) -> float:
    """Spread, so that keys that were learnt together are not asked for together again."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


def _observe(future: Answer) -> None:
    """A background look-up that fails has nobody to tell; asyncio shall not complain."""
    if not future.cancelled():
        future.exception()
