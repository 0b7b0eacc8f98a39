"""What a key is at a moment, in one word."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.utils.timesince import timesince, timeuntil

from apps.accounts.models import ApiKey

LABELS = {
    "live": "success",
    "disabled": "warning",
    "suspended": "warning",
    "expired": "danger",
    "revoked": "danger",
}
CHOICES = (
    ("live", "Live"),
    ("disabled", "Disabled"),
    ("suspended", "Suspended with its client or team"),
    ("expired", "Expired"),
    ("revoked", "Revoked"),
)


def status_of(key: ApiKey, now: datetime) -> str:
    """The gravest reason for which a key is refused, or "live"."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    if not key.is_active:
        return "disabled"
    return "live" if key.client.is_active and key.client.team.is_active else "suspended"


def of_status(status: str, now: datetime) -> Q:
    """The keys of which `status_of` says so."""
    is_running = Q(client__is_active=True, client__team__is_active=True)
    unrevoked = Q(revoked_at=None)
    lasting = unrevoked & (Q(expires_at=None) | Q(expires_at__gt=now))
    return {
        "revoked": Q(revoked_at__isnull=False),
        "expired": unrevoked & Q(expires_at__lte=now),
        "disabled": lasting & Q(is_active=False),
        "suspended": lasting & Q(is_active=True) & ~is_running,
        "live": lasting & Q(is_active=True) & is_running,
    }[status]


def expiry_of(key: ApiKey, now: datetime) -> str:
    """When the key ends, told from now."""
    if key.expires_at is None:
        return "never"
    if key.expires_at <= now:
        return f"{timesince(key.expires_at, now, depth=1)} ago"
    return f"in {timeuntil(key.expires_at, now, depth=1)}"
