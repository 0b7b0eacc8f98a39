"""A key gets a successor; both work for a grace period, and the old one says who still uses it.

The successor is a row of its own: the request log tells the two apart. It takes over the name and
all that belongs to it; the old row is renamed after its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db import transaction

from apps.accounts import errors, grants, services
from apps.accounts.models import ApiKey
from apps.accounts.services import IssuedKey
from apps.audit import trail
from chatvault.lib import clock

if TYPE_CHECKING:
    from apps.accounts.models import User
    from apps.accounts.principals import Principal

LONGEST_GRACE: Final = timedelta(days=365)
MOST_AT_ONCE: Final = 500
DEFAULT_GRACE: Final = timedelta(days=7)

Carry = Callable[[ApiKey, ApiKey], None]
"""Gives a successor what an app above keeps for its predecessor."""

_carriers: Final[list[Carry]] = []


def register(carry: Carry) -> None:
    if carry not in _carriers:
        _carriers.append(carry)


@transaction.atomic
def rotate_key(
    *,
    key: ApiKey,
    actor: User | None,
    grace: timedelta = DEFAULT_GRACE,
    who: Principal | None = None,
) -> IssuedKey:
    """Issue a successor; the old key keeps working for `grace`, and is revoked at once without.
    The successor lives as long as the old key was made to, counted from now.

    Raises KeyRevoked, KeyRotated or GrantExceeded.
    """
    key = ApiKey.objects.select_related("client__team").get(pk=key.pk)
    if who is not None:
        grants.check_key(who, key)
    now = clock.now()
    ends_at = _end(key, now, grace)
    name, aliases = key.name, list(key.aliases.all())
    _retire(key, now, ends_at)
    issued = services.issue_key(
        client=key.client,
        name=name,
        actor=actor,
        expires_at=_lifetime(key, now, who),
        aliases=aliases,
        is_active=key.is_active,
        scopes=key.scopes,
        networks=key.networks,
        labels=key.labels,
        predecessor=key,
    )
    key.expires_at = ends_at
    for carry in _carriers:
        carry(key, issued.key)
    services.announce_keys(ApiKey.objects.filter(pk=key.pk))
    trail.record(
        "key.rotated",
        target=key,
        before={"name": name},
        after={"name": key.name, "ends_at": ends_at.isoformat(), "successor": issued.key.hint},
        team_id=key.client.team_id,
    )
    if grace <= timedelta(0):
        services.revoke_keys(keys=ApiKey.objects.filter(pk=key.pk), actor=actor)
    return issued


@transaction.atomic
def rotate_keys(
    *,
    keys: Iterable[ApiKey],
    actor: User | None,
    grace: timedelta = DEFAULT_GRACE,
    who: Principal | None = None,
) -> list[IssuedKey]:
    """Rotate all of them or none. Raises what `rotate_key` raises, naming the key."""
    issued = []
    for key in keys:
        try:
            issued.append(rotate_key(key=key, actor=actor, grace=grace, who=who))
        except errors.GrantExceeded as refused:
            reason = f"{key.client} / {key.name}: {refused.reason}"
            raise errors.GrantExceeded(reason, refused.hint, refused.field) from None
        except errors.AccountsError as refused:
            reason = f"{key.client} / {key.name}: {refused.reason}"
            raise errors.AccountsError(reason, refused.hint) from None
    return issued


def _end(key: ApiKey, now: datetime, grace: timedelta) -> datetime:
    """An end that was nearer stays."""
    ends_at = now + min(max(grace, timedelta(0)), LONGEST_GRACE)
    return min(key.expires_at, ends_at) if key.expires_at else ends_at


def _lifetime(key: ApiKey, now: datetime, who: Principal | None) -> datetime | None:
    own = grants.own_key(who) if who is not None else None
    limit = own.expires_at if own is not None else None
    if key.expires_at is None:
        return limit
    ends_at = now + (key.expires_at - key.created_at)
    return min(ends_at, limit) if limit else ends_at


def _retire(key: ApiKey, now: datetime, ends_at: datetime) -> None:
    """One of two rotations at the same time finds that the other was first."""
    name = _name_of_old(key, ends_at)
    free = ApiKey.objects.filter(pk=key.pk, rotated_at=None, revoked_at=None)
    if not free.update(rotated_at=now, expires_at=ends_at, name=name):
        key.refresh_from_db(fields=["revoked_at"])
        raise errors.KeyRevoked if key.revoked_at else errors.KeyRotated
    key.name, key.rotated_at = name, now  # its end stays known here as it was made to be


def _name_of_old(key: ApiKey, ends_at: datetime) -> str:
    stem = f"{key.name[:70]} until {ends_at:%Y-%m-%d %H:%M}"
    taken = set(
        ApiKey.objects.filter(client=key.client_id, name__startswith=stem).values_list(
            "name", flat=True
        )
    )
    numbers = (f"{stem} {number}" for number in range(2, len(taken) + 3))
    return next(name for name in (stem, *numbers) if name not in taken)
