"""API keys on the hot path: their form, their digest, and what one process remembers of them.

A key is `cv_`, 43 base62 digits (256 random bits) and 6 of a CRC-32, so that a mistyped or made-up
key is refused without asking anybody. Only HMAC-SHA256 under a pepper is ever stored or looked up.
"""

from __future__ import annotations

import asyncio
import hmac
import random
import secrets
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from chatvault.lib import clock
from chatvault.lib.errors import KeysUnavailable, Unauthenticated

PREFIX: Final = "cv_"
INFERENCE: Final = "inference"
INFERENCE_ALONE: Final = frozenset({INFERENCE})
MIN_LENGTH: Final = 20
MAX_LENGTH: Final = 256
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY_DIGITS: Final = 43  # 62^43 > 2^256
_CHECK_DIGITS: Final = 6  # 62^6 > 2^32

JITTER: Final = 0.2
BATCH: Final = 500
MAX_WAITING: Final = 20_000


class KeyRecord(msgspec.Struct, frozen=True):
    """What a request needs to know of its key. A revoked key has no record."""

    key_id: int  # 0: a token, which is no key
    client_id: int
    name: str
    is_active: bool = True
    expires_at_s: float | None = None  # seconds since the epoch; None: never
    aliases: frozenset[str] | None = None  # narrows what the client may use; None: all of it
    kind: str = "key"  # key | jwt | oauth
    team_id: int = 0
    scopes: frozenset[str] = INFERENCE_ALONE
    networks: tuple[str, ...] = ()  # from which it may call, in CIDR form; (): from anywhere
    user_id: int = 0  # the person for whom a token was issued; 0: nobody
    application_id: int = 0  # the OAuth application that holds the token


Loader = Callable[[Sequence[str]], Awaitable[Mapping[str, KeyRecord]]]
"""Finds the records of digests, those that exist; any exception means that it could not ask."""


def issue_secret(prefix: str = PREFIX) -> str:
    """A new key; shown once to whoever asked for it, never stored."""
    body = _base62(secrets.randbits(256), _BODY_DIGITS)
    return prefix + body + _checksum(body)


def is_well_formed(token: bytes) -> bool:
    """Could this be a key? Ours carry a checksum; given keys are 20 to 256 printable letters."""
    if not MIN_LENGTH <= len(token) <= MAX_LENGTH or not token.isascii():
        return False
    text = token.decode("ascii")
    if not text.startswith(PREFIX):
        return text.isprintable() and " " not in text
    if len(text) != len(PREFIX) + _BODY_DIGITS + _CHECK_DIGITS:
        return False
    body = text[len(PREFIX) : -_CHECK_DIGITS]
    return hmac.compare_digest(_checksum(body), text[-_CHECK_DIGITS:])


def digest(token: bytes, pepper: bytes) -> str:
    """What is stored instead of the key: 64 hexadecimal digits."""
    return hmac.digest(pepper, token, "sha256").hex()


def hint_of(token: str) -> str:
    """First and last characters, for people to recognise a key by."""
    return f"{token[:6]}…{token[-4:]}"


def _base62(number: int, digits: int) -> str:
    out = []
    for _ in range(digits):
        number, rest = divmod(number, 62)
        out.append(_ALPHABET[rest])
    return "".join(reversed(out))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK_DIGITS)


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
        pepper: bytes,
        size: int = 10_000,
        unknown_size: int = 50_000,
        ttl_s: float = 60.0,
        unknown_ttl_s: float = 10.0,
        keep_s: float = 1800.0,
        load_timeout_s: float = 5.0,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._load = load
        self._pepper = pepper
        self._size = size
        self._unknown_size = unknown_size
        self._ttl_s = ttl_s
        self._unknown_ttl_s = unknown_ttl_s
        self._keep_s = keep_s
        self._load_timeout_s = load_timeout_s
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._asked: dict[str, asyncio.Future[KeyRecord | None]] = {}
        self._asking: dict[str, asyncio.Future[KeyRecord | None]] = {}
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._known)

    @property
    def unknown_count(self) -> int:
        return len(self._unknown)

    def find(self, token: bytes) -> KeyRecord | None:
        """The record if this process has it fresh; None: `await get(token)`."""
        key = hmac.digest(self._pepper, token, "sha256").hex()
        entry = self._known.get(key)
        if entry is None or self._monotonic() >= entry.stale_at:
            return None
        self._known.move_to_end(key)
        return entry.record

    async def get(self, token: bytes) -> KeyRecord:
        """The record of a key. Raises Unauthenticated for one that does not exist, and
        KeysUnavailable when nobody can be asked about one that is not known here."""
        key = hmac.digest(self._pepper, token, "sha256").hex()
        now = self._monotonic()
        entry = self._known.get(key)
        if entry is not None and now < entry.confirmed_at + self._keep_s:
            self._known.move_to_end(key)
            return await self._confirmed(key, entry, now)
        if self._unknown.get(key, 0.0) > now or not is_well_formed(token):
            raise Unauthenticated
        record = await asyncio.shield(self._ask(key))
        if record is None:
            raise Unauthenticated
        return record

    async def _confirmed(self, key: str, entry: _Entry, now: float) -> KeyRecord:
        if now < entry.stale_at or len(self._asked) >= MAX_WAITING:
            return entry.record
        asked = self._ask(key)
        if not entry.is_doubted:
            return entry.record
        try:
            record = await asyncio.shield(asked)
        except KeysUnavailable:
            return entry.record
        if record is None:
            raise Unauthenticated
        return record

    def drop(self, key_digest: str) -> None:
        """Forget a key that changed; an answer that is under way is not kept either.
        An empty digest stands for all keys."""
        if not key_digest:
            self.clear()
            return
        self._known.pop(key_digest, None)
        self._unknown.pop(key_digest, None)
        self._asking.pop(key_digest, None)

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
        self._unknown.clear()
        self._asking.clear()

    def expire(self) -> None:
        """Confirm every key anew before its next use; what is known serves only as long as
        nobody can be asked."""
        for entry in self._known.values():
            entry.stale_at = 0.0
            entry.is_doubted = True
        self._unknown.clear()
        self._asking.clear()

    def _ask(self, key: str) -> asyncio.Future[KeyRecord | None]:
        future = self._asking.get(key) or self._asked.get(key)
        if future is None:
            if len(self._asked) >= MAX_WAITING:
                raise KeysUnavailable
            future = asyncio.get_running_loop().create_future()
            future.add_done_callback(_observe)
            self._asked[key] = future
            if self._worker is None or self._worker.done():
                self._worker = asyncio.get_running_loop().create_task(self._answer_all())
        return future

    async def _answer_all(self) -> None:
        while self._asked:
            keys = list(self._asked)[:BATCH]
            batch = {key: self._asked.pop(key) for key in keys}
            self._asking.update(batch)
            try:
                async with asyncio.timeout(self._load_timeout_s):
                    found = await self._load(keys)
            except Exception:  # whatever kept the loader from asking: the keys are not to blame
                self._give_up(batch)
            else:
                for key, future in batch.items():
                    self._answer(key, future, found.get(key))

    def _answer(
        self, key: str, future: asyncio.Future[KeyRecord | None], record: KeyRecord | None
    ) -> None:
        if self._asking.pop(key, None) is future:  # not dropped meanwhile
            self._keep(key, record)
        if not future.done():
            future.set_result(record)

    def _keep(self, key: str, record: KeyRecord | None) -> None:
        now = self._monotonic()
        if record is None:
            self._known.pop(key, None)
            self._unknown[key] = now + _jittered(self._unknown_ttl_s)
            while len(self._unknown) > self._unknown_size:
                self._unknown.popitem(last=False)
            return
        self._unknown.pop(key, None)
        self._known[key] = _Entry(record, now, now + _jittered(self._ttl_s))
        self._known.move_to_end(key)
        while len(self._known) > self._size:
            self._known.popitem(last=False)

    def _give_up(self, batch: dict[str, asyncio.Future[KeyRecord | None]]) -> None:
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


def _observe(future: asyncio.Future[KeyRecord | None]) -> None:
    """A background look-up that fails has nobody to tell; asyncio shall not complain."""
    if not future.cancelled():
        future.exception()
