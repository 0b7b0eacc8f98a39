"""Where the data plane's key cache gets its records from."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache

from django.conf import settings
from django.db.models import QuerySet

from apps.accounts import repepper
from apps.accounts.credentials import KeyRecord, Question, digest
from apps.accounts.models import ApiKey
from apps.accounts.repepper import Move
from chatvault.lib.peppers import parse_ring
from chatvault.lib.redact import Secret


def pepper_ring() -> dict[int, bytes]:
    """Peppers by number, the one for new keys first. Raises ValueError for a malformed ring."""
    return _ring(settings.CHATVAULT.vault.pepper.get_secret_value())


def peppers() -> list[bytes]:
    return list(pepper_ring().values())


def pepper() -> bytes:
    """The pepper that new keys are stored under. Raises ValueError."""
    return peppers()[0]


def pepper_number() -> int:
    """Of the pepper for new keys."""
    return next(iter(pepper_ring()))


def digests_of(secret: Secret) -> list[str]:
    """All digests under which a key may be stored, the one for new keys first."""
    token = secret.reveal().encode()
    under = [digest(token, each) for each in peppers()]
    return [*under, hashlib.sha256(token).hexdigest()]


def imported_as(digest: str) -> list[str]:
    """By which an imported digest is known again, under each pepper, the newest first."""
    return [hmac.digest(each, digest.encode(), "sha256").hex() for each in peppers()]


def find_keys(questions: Sequence[Question]) -> dict[str, KeyRecord]:
    """Who holds keys; a row may be stored under any of a question's candidates. Those that are
    stored under an older pepper, or were imported, move to the newest one soon after."""
    asked = {one: question.digest for question in questions for one in question.candidates}
    found: dict[str, KeyRecord] = {}
    moves: list[Move] = []
    rows = _rows([*asked])
    for row in sorted(rows, key=lambda row: row.digest != asked[row.digest]):
        shown = asked[row.digest]
        if shown in found:  # imported though it is a key here: the key here counts
            continue
        found[shown] = record_of(row)
        if row.digest != shown:
            moves.append(Move(row.pk, row.digest, shown))
    if moves:
        repepper.soon(moves, pepper_number())
    return found


def find_key_record(digest: str) -> KeyRecord | None:
    """The record of a key that exists and was not revoked."""
    return find_key_records([digest]).get(digest)


def find_key_records(digests: Sequence[str]) -> dict[str, KeyRecord]:
    """The records by stored digest, in two queries; unknown and revoked keys are left out."""
    return {row.digest: record_of(row) for row in _rows(digests)}


def record_of(key: ApiKey) -> KeyRecord:
    """What gateways remember of a key; it is active if its client and its team are, too."""
    names = frozenset(alias.name for alias in key.aliases.all())
    return KeyRecord(
        key_id=key.pk,
        client_id=key.client_id,
        team_id=key.client.team_id,
        name=key.name,
        is_active=key.is_active and key.client.is_active and key.client.team.is_active,
        expires_at_s=key.expires_at.timestamp() if key.expires_at else None,
        aliases=names or None,
        scopes=frozenset(key.scopes),
        networks=tuple(key.networks),
        stored=key.digest,
    )


def _rows(digests: Sequence[str]) -> QuerySet[ApiKey]:
    return (
        ApiKey.objects.filter(digest__in=digests, revoked_at=None)
        .select_related("client__team")
        .prefetch_related("aliases")
    )


@lru_cache(maxsize=4)
def _ring(text: str) -> dict[int, bytes]:
    return parse_ring(text)
