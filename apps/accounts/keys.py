"""Where the data plane's key cache gets its records from."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from django.conf import settings

from apps.accounts.credentials import KeyRecord, Question
from apps.accounts.models import ApiKey


def pepper() -> bytes:
    """The pepper that keys are stored under. Raises ValueError when it is not base64."""
    return base64.b64decode(settings.CHATVAULT.vault.pepper.get_secret_value(), validate=True)


def find_keys(questions: Sequence[Question]) -> dict[str, KeyRecord]:
    """Who holds keys; a row may be stored under any of a question's candidates."""
    asked = {one: question.digest for question in questions for one in question.candidates}
    return {asked[stored]: record for stored, record in find_key_records([*asked]).items()}


def find_key_record(digest: str) -> KeyRecord | None:
    """The record of a key that exists and was not revoked."""
    return find_key_records([digest]).get(digest)


def find_key_records(digests: Sequence[str]) -> dict[str, KeyRecord]:
    """The records by stored digest, in two queries; unknown and revoked keys are left out."""
    rows = (
        ApiKey.objects.filter(digest__in=digests, revoked_at=None)
        .select_related("client__team")
        .prefetch_related("aliases")
    )
    return {row.digest: record_of(row) for row in rows}


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
        stored=key.digest,
    )
