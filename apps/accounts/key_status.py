"""What a key is at a moment, in one word."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils.timesince import timesince, timeuntil

from apps.accounts import keys
from apps.accounts.models import ApiKey, ApiKeyQuerySet

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
ATTENTION = (
    ("unused", "Not used for 90 days"),
    ("expiring", "Ends within 14 days"),
    ("pepper", "Not under the newest pepper"),
    ("rotated", "Rotated, still used"),
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


def needing(what: str, rows: ApiKeyQuerySet, now: datetime) -> ApiKeyQuerySet:
    """Of these keys the ones that need attention for one of the reasons of ATTENTION."""
    if what == "unused":
        return rows.usable(now).unused_since(now - timedelta(days=90))
    if what == "expiring":
        return rows.expiring(now, timedelta(days=14))
    if what == "pepper":
        return rows.under_other_pepper(keys.pepper_number())
    return rows.usable(now).rotated_and_used()


def last_use_of(key: ApiKey, now: datetime) -> str:
    """When it was used last, told from now; right to about a minute."""
    if key.last_used_at is None:
        return "never"
    if now - key.last_used_at < timedelta(minutes=2):
        return "just now"
    return f"{timesince(key.last_used_at, now, depth=1)} ago"
