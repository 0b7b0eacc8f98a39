from __future__ import annotations

from django.conf import settings
from django.db import models


class AuditEvent(models.Model):
    """One thing that somebody did. Append-only; each row carries the hash of the one before it."""

    id = models.BigIntegerField(primary_key=True, help_text="Counts from 1 without a gap.")
    at = models.DateTimeField(db_index=True)
    topic = models.CharField(max_length=32, db_default="", help_text="What stands before the dot.")
    action = models.CharField(max_length=64, help_text="Such as 'key.revoked'.")
    actor_kind = models.CharField(
        max_length=16, help_text="person, key, jwt, oauth, anonymous or system."
    )
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
        indexes = [
            models.Index(fields=["topic", "-id"], name="audit_of_a_topic"),
            models.Index(fields=["team_id", "-id"], name="audit_of_a_team"),
            models.Index(fields=["target_type", "target_id", "-id"], name="audit_of_a_target"),
            models.Index(fields=["request_id"], name="audit_of_a_request"),
            models.Index(
                fields=["actor"], name="audit_of_an_actor", opclasses=["varchar_pattern_ops"]
            ),
            models.Index(
                fields=["target"], name="audit_by_target", opclasses=["varchar_pattern_ops"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id}: {self.action} {self.target}".strip()


class AuditHead(models.Model):
    """How far the trail goes: its one row is moved on in the transaction of every event, so that
    a trail that lost its end is known. The seal is an HMAC, whose key no database holds."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    last_id = models.BigIntegerField(help_text="The newest event, and how many there were.")
    hash = models.CharField(max_length=64)
    key_id = models.CharField(max_length=32, blank=True)
    seal = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="audit_has_one_head")]

    def __str__(self) -> str:
        return f"{self.last_id} events"


class AuditCheckpoint(models.Model):
    """What a verification found. One without findings anchors the trail up to its last event."""

    class Scope(models.TextChoices):
        WHOLE = "whole", "the whole trail"
        RECENT = "recent", "what is new since the last one"

    at = models.DateTimeField()
    scope = models.CharField(max_length=16, choices=Scope)
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField(db_index=True)
    checked = models.BigIntegerField(help_text="Events that were read.")
    findings = models.PositiveIntegerField(help_text="0: everything is as it was written.")
    examples = models.JSONField(default=list, blank=True)
    hash = models.CharField(max_length=64, help_text="Of the last event.")
    key_id = models.CharField(max_length=32, blank=True)
    seal = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.first_id} to {self.last_id}, {self.findings} findings"
