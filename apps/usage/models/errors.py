from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import F, Q


class ErrorGroupQuerySet(models.QuerySet["ErrorGroup"]):
    def pressing(self) -> Self:
        """Those that nobody has looked at yet."""
        return self.filter(state=ErrorGroup.State.OPEN)

    def recurred(self) -> Self:
        """Resolved, and seen again since."""
        return self.filter(state=ErrorGroup.State.RESOLVED, last_seen__gt=F("state_at"))


class ErrorGroup(models.Model):
    """Errors of one kind and code, of one deployment and one client. The number is made of these,
    so that everybody who books one finds the same row."""

    class Kind(models.TextChoices):
        REQUEST = "request", "Failed request"
        ATTEMPT = "attempt", "Failed call to a provider"
        REFUSAL = "refusal", "Refusal"
        FAULT = "fault", "Fault of ChatVault"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        RESOLVED = "resolved", "Resolved"

    id = models.BigIntegerField(primary_key=True)
    kind = models.CharField(max_length=16, choices=Kind)
    code = models.CharField(max_length=100, help_text="The code, or the class of an exception.")
    deployment_id = models.BigIntegerField("deployment id", default=0)
    client_id = models.BigIntegerField("client id", default=0)
    place = models.CharField(max_length=200, blank=True, help_text="Where ChatVault failed.")
    deployment_name = models.CharField("deployment", max_length=150, blank=True)
    client_name = models.CharField("client", max_length=100, blank=True)
    count = models.PositiveBigIntegerField(default=0)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    last_status = models.PositiveSmallIntegerField("last status", default=0)
    last_request_id = models.UUIDField("last request", null=True)
    last_detail = models.CharField("what was told last", max_length=200, blank=True)
    state = models.CharField(max_length=16, choices=State, default=State.OPEN)
    state_at = models.DateTimeField("state since", null=True)
    state_by = models.CharField("state set by", max_length=150, blank=True)
    reopened = models.PositiveIntegerField(default=0, help_text="How often it came back.")

    objects = ErrorGroupQuerySet.as_manager()

    class Meta:
        verbose_name = "error"
        ordering = ["-last_seen", "id"]
        indexes = [
            models.Index(fields=["-last_seen"], name="error_recent"),
            models.Index(fields=["state", "-last_seen"], name="error_by_state"),
            models.Index(
                fields=["deployment_id"], condition=~Q(deployment_id=0), name="error_by_deployment"
            ),
        ]

    def __str__(self) -> str:
        parts = [self.code, self.deployment_name, self.client_name]
        return " · ".join(part for part in parts if part)

    @property
    def began(self) -> datetime:
        """When it was first seen, or came back after it was resolved."""
        if self.state == self.State.OPEN and self.reopened and self.state_at is not None:
            return self.state_at
        return self.first_seen


class ErrorHour(models.Model):
    """How often an error occurred in one hour."""

    group_id = models.BigIntegerField()
    hour = models.DateTimeField()
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["group_id", "hour"], name="error_hour_unique")
        ]
        indexes = [models.Index(fields=["hour"], name="error_hour")]

    def __str__(self) -> str:
        return f"{self.group_id} {self.hour:%Y-%m-%d %H}h"


class RefusalSample(models.Model):
    """One of the latest refusals of known keys, as the gateways told; a bounded number is kept."""

    at = models.DateTimeField()
    client_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    alias = models.CharField(max_length=150, blank=True)
    status = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=64)
    message = models.CharField(max_length=200, blank=True)
    count = models.PositiveBigIntegerField(default=1)

    class Meta:
        indexes = [models.Index(fields=["-at", "-id"], name="refusal_recent")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.code}"
