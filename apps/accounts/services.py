"""What is done to clients and keys. Every verb announces the keys that it concerns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from apps.accounts import credentials, errors
from apps.accounts.keys import pepper
from apps.accounts.models import ApiKey, Client, Team
from apps.configuration import announce
from chatvault.lib import clock
from chatvault.lib.redact import Secret

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from apps.accounts.models import User
    from apps.providers.models import Alias

TOPIC = "accounts.key"
HOLDER_TOPIC = "accounts.holder"
_ANNOUNCED_ONE_BY_ONE = 100


@dataclass(frozen=True)
class IssuedKey:
    """A key and its secret, which exists nowhere else: show it once."""

    key: ApiKey
    secret: Secret


@transaction.atomic
def issue_key(
    *,
    client: Client,
    name: str,
    actor: User | None,
    secret: Secret | None = None,
    expires_at: datetime | None = None,
    aliases: Iterable[Alias] = (),
    is_active: bool = True,
) -> IssuedKey:
    """A new key of `client`; without a given `secret` one is made.

    Raises KeyTooWeak, KeyTaken or KeyNameTaken.
    """
    secret = secret or Secret(credentials.issue_secret())
    digest = digest_of(secret)
    if ApiKey.objects.filter(client=client, name=name).exists():
        raise errors.KeyNameTaken
    if ApiKey.objects.filter(digest=digest).exists():
        raise errors.KeyTaken
    key = ApiKey.objects.create(
        client=client,
        name=name,
        digest=digest,
        hint=credentials.hint_of(secret.reveal()),
        expires_at=expires_at,
        is_active=is_active,
        created_by=actor,
    )
    key.aliases.set(aliases)
    announce.after_commit(TOPIC, digest)
    return IssuedKey(key, secret)


@transaction.atomic
def replace_secret(*, key: ApiKey, secret: Secret) -> None:
    """From now on `secret` is the key and the old one is unknown.

    Raises KeyTooWeak, KeyTaken or KeyRevoked.
    """
    if key.revoked_at is not None:
        raise errors.KeyRevoked
    digest = digest_of(secret)
    if ApiKey.objects.filter(digest=digest).exclude(pk=key.pk).exists():
        raise errors.KeyTaken
    old = key.digest
    key.digest, key.hint = digest, credentials.hint_of(secret.reveal())
    key.save(update_fields=["digest", "hint"])
    for each in {old, digest}:
        announce.after_commit(TOPIC, each)


def digest_of(secret: Secret) -> str:
    """The digest of a key that is fit to be one. Raises KeyTooWeak."""
    try:
        token = secret.reveal().encode("ascii")
    except UnicodeEncodeError:
        raise errors.KeyTooWeak from None
    if not credentials.is_well_formed(token):
        raise errors.KeyTooWeak
    return credentials.digest(token, pepper())


def enable_keys(*, keys: QuerySet[ApiKey], actor: User | None) -> int:
    """Keys that were disabled work again; revoked ones never do. How many changed."""
    return _update(keys.filter(is_active=False, revoked_at=None), is_active=True)


def disable_keys(*, keys: QuerySet[ApiKey], actor: User | None) -> int:
    """The keys are refused until they are enabled. How many changed."""
    return _update(keys.filter(is_active=True), is_active=False)


def revoke_keys(*, keys: QuerySet[ApiKey], actor: User | None) -> int:
    """The keys are refused for good. How many changed."""
    return _update(keys.filter(revoked_at=None), revoked_at=clock.now(), is_active=False)


@transaction.atomic
def suspend_clients(*, clients: QuerySet[Client], actor: User | None) -> int:
    """All keys of the clients are refused. How many clients changed."""
    return _switch(clients, is_active=False)


@transaction.atomic
def resume_clients(*, clients: QuerySet[Client], actor: User | None) -> int:
    """The clients' keys work again. How many clients changed."""
    return _switch(clients, is_active=True)


@transaction.atomic
def switch_teams(*, teams: QuerySet[Team], is_active: bool) -> int:
    """Keys of the teams' clients work, or are refused. How many teams changed."""
    chosen = list(teams.exclude(is_active=is_active).order_by().values_list("pk", flat=True))
    Team.objects.filter(pk__in=chosen).update(is_active=is_active)
    if chosen:
        announce_keys(ApiKey.objects.filter(client__team__in=chosen))
        announce_holders("team", chosen)
    return len(chosen)


@transaction.atomic
def announce_keys(keys: QuerySet[ApiKey]) -> None:
    """Every process asks anew about these keys; call it after changing their rows."""
    digests = list(keys.order_by().values_list("digest", flat=True))
    _announce(digests)


@transaction.atomic
def announce_holders(kind: str, ids: Iterable[int]) -> None:
    """Every process asks anew about all credentials, tokens too, of these users, clients, teams,
    applications or sessions."""
    for one in ids:
        announce.after_commit(HOLDER_TOPIC, f"{kind}:{one}")


@transaction.atomic
def _update(keys: QuerySet[ApiKey], **values: object) -> int:
    chosen = list(keys.order_by().values_list("pk", "digest"))
    if chosen:
        ApiKey.objects.filter(pk__in=[pk for pk, _ in chosen]).update(**values)
        _announce([digest for _, digest in chosen])
    return len(chosen)


def _switch(clients: QuerySet[Client], *, is_active: bool) -> int:
    chosen = list(clients.exclude(is_active=is_active).order_by().values_list("pk", flat=True))
    Client.objects.filter(pk__in=chosen).update(is_active=is_active)
    if chosen:
        announce_keys(ApiKey.objects.filter(client__in=chosen))
        announce_holders("client", chosen)
    return len(chosen)


def _announce(digests: list[str]) -> None:
    if len(digests) > _ANNOUNCED_ONE_BY_ONE:
        announce.after_commit(TOPIC)
        return
    for digest in digests:
        announce.after_commit(TOPIC, digest)
