from __future__ import annotations

from django.conf import settings
from django.db import models


class AuditEvent(models.Model):
    """One thing that somebody did. Append-only; each row carries the hash of the one before it."""

    id = models.BigIntegerField(primary_key=True, help_text="Counts from 1 without a gap.")
    at = models.DateTimeField(db_index=True)
    action = models.CharField(max_length=64, help_text="Such as 'key.revoked'.")
    actor_kind = models.CharField(max_length=16, help_text="person, key, jwt, oauth or system.")
    actor = models.CharField(max_length=200, help_text="Who did it, as known at that time.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.DO_NOTHING,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="+",
    )
    team_id = models.BigIntegerField(null=True, blank=True, help_text="Whose row was touched.")
    target_type = models.CharField(max_length=64, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target = models.CharField(max_length=200, blank=True)
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.id}: {self.action} {self.target}".strip()
