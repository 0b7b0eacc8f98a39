"""Where the data plane's key cache gets its records from."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections

from apps.accounts.credentials import KeyRecord
from apps.accounts.models import ApiKey


def pepper() -> bytes:
    """The pepper that keys are stored under. Raises ValueError when it is not base64."""
    return base64.b64decode(settings.CHATVAULT.vault.pepper.get_secret_value(), validate=True)


def find_key_record(digest: str) -> KeyRecord | None:
    """The record of a key that exists and was not revoked."""
    return find_key_records([digest]).get(digest)


def find_key_records(digests: Sequence[str]) -> dict[str, KeyRecord]:
    """The records by digest, in two queries; unknown and revoked keys are left out."""
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
    )


async def load_key_records(digests: Sequence[str]) -> Mapping[str, KeyRecord]:
    """`find_key_records` off the event loop: the loader of a KeyCache."""
    return await sync_to_async(_with_fresh_connection, thread_sensitive=False)(digests)


def _with_fresh_connection(digests: Sequence[str]) -> dict[str, KeyRecord]:
    close_old_connections()
    return find_key_records(digests)
