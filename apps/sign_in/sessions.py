"""The session engine: rows that can be listed and ended, from which no cookie can be learnt.

A session that is gone, too old or was idle for too long does not load, whoever asks for it: the
limits hold wherever sessions are used. Every request reads its row, so one that was ended is
over with the next request.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db.models import Q

from apps.providers.errors import SecretUnavailable
from apps.providers.secrets import SecretContext
from apps.providers.services import vault
from apps.sign_in import backoff
from apps.sign_in.devices import device_of
from chatvault.lib import clock

STARTED: Final = "signed_in_at"
ADDRESS: Final = "signed_in_from"
BROWSER: Final = "signed_in_on"
WAY: Final = "signed_in_with"
SEEN_EVERY: Final = timedelta(minutes=1)


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class SessionStore(DatabaseStore):
    """`seen_at` and `started_at` are of the row that was loaded, None before that."""

    seen_at: datetime | None = None

    @classmethod
    def get_model_class(cls) -> Any:
        from apps.sign_in.models import PersonSession

        return PersonSession

    def _rows(self) -> Any:
        return self.get_model_class().objects

    def _get_session_from_db(self) -> Any:
        row = self._living().first() if self.session_key else None
        return self._found(row)

    async def _aget_session_from_db(self) -> Any:
        row = await self._living().afirst() if self.session_key else None
        return self._found(row)

    def _living(self) -> Any:
        now, limits = clock.now(), settings.CHATVAULT.sign_in
        return (
            self._rows()
            .filter(
                session_key=digest_of(self.session_key or ""),
                expire_date__gt=now,
                started_at__gt=now - timedelta(hours=limits.session_life_h),
                seen_at__gt=now - timedelta(minutes=limits.session_idle_min),
            )
            .order_by()
        )

    def _found(self, row: Any) -> Any:
        if row is None:
            self._session_key = None
            return None
        self.seen_at = row.seen_at
        return row

    def load(self) -> dict[str, Any]:
        row = self._get_session_from_db()
        return self._opened(row) if row else {}

    async def aload(self) -> dict[str, Any]:
        row = await self._aget_session_from_db()
        return self._opened(row) if row else {}

    def exists(self, session_key: str) -> bool:
        return super().exists(digest_of(session_key))

    async def aexists(self, session_key: str) -> bool:
        return await super().aexists(digest_of(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        return self._row(_any(self)._get_or_create_session_key(), data, self.get_expiry_date())

    async def acreate_model_instance(self, data: dict[str, Any]) -> Any:
        key = await _any(self)._aget_or_create_session_key()
        return self._row(key, data, await self.aget_expiry_date())

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            self._rows().filter(session_key=digest_of(key)).delete()

    async def adelete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            await self._rows().filter(session_key=digest_of(key)).adelete()

    @classmethod
    def clear_expired(cls) -> None:
        """Also what no longer loads for its age, and failures that no longer count."""
        now, limits = clock.now(), settings.CHATVAULT.sign_in
        cls.get_model_class().objects.filter(
            Q(expire_date__lt=now)
            | Q(started_at__lt=now - timedelta(hours=limits.session_life_h))
            | Q(seen_at__lt=now - timedelta(minutes=limits.session_idle_min))
        ).delete()
        backoff.forget_old()

    def touch(self, address: str | None) -> None:
        """Note that it is in use, at most once a minute."""
        now = clock.now()
        if self.seen_at is None or now - self.seen_at < SEEN_EVERY or not self.session_key:
            return
        self.seen_at = now
        mine = self._rows().filter(session_key=digest_of(self.session_key))
        mine.update(seen_at=now, address=address)

    def _row(self, key: str, data: dict[str, Any], expires: datetime) -> Any:
        user_id = data.get(SESSION_KEY)
        now = clock.now()
        if STARTED not in data:
            data[STARTED] = now.timestamp()
        digest = digest_of(key)
        return self.get_model_class()(
            session_key=digest,
            session_data=vault().seal(json.dumps(data, default=str), _context(digest)),
            expire_date=expires,
            user_id=int(user_id) if user_id else None,
            started_at=datetime.fromtimestamp(data[STARTED], tz=now.tzinfo),
            seen_at=now,
            address=data.get(ADDRESS) or None,
            browser=device_of(data.get(BROWSER) or ""),
            way=str(data.get(WAY) or "")[:100],
        )

    def _opened(self, row: Any) -> dict[str, Any]:
        try:
            opened = vault().open(row.session_data, _context(row.session_key)).reveal()
            found: dict[str, Any] = json.loads(opened)
        except (SecretUnavailable, ValueError):  # the keys changed: sign in again
            self._session_key = None
            return {}
        return found


def _any(store: Any) -> Any:
    """What Django's stubs know nothing of."""
    return store


def _context(digest: str) -> SecretContext:
    return SecretContext("session", "sign_in.personsession", digest, "session_data", "")
