"""What processes of many machines agree on through the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import models
from django.db.models import F, Q

from chatvault.lib import clock

ALIVE_FOR: Final = timedelta(seconds=30)
"""A node that was not seen for longer is not waited for."""


class Counter(models.Model):
    """A number that only grows: it orders what is told to Redis."""

    class Name(models.TextChoices):
        BOOKING = "booking", "Batches that were booked"
        EPOCH = "epoch", "Times that the limits in Redis were built"

    name = models.CharField(max_length=16, primary_key=True, choices=Name)
    value = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(value__gte=0), name="counter_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"

    @classmethod
    def step(cls, name: str) -> int:
        """The next number. Call it in a transaction: others wait for its end."""
        if not cls._default_manager.filter(pk=name).update(value=F("value") + 1):
            cls._default_manager.get_or_create(pk=name)
            cls._default_manager.filter(pk=name).update(value=F("value") + 1)
        return cls.current(name)

    @classmethod
    def current(cls, name: str) -> int:
        return cls._default_manager.filter(pk=name).values_list("value", flat=True).first() or 0


class GatewayNode(models.Model):
    """A state folder with gateways and the journals that only its own ingest can read."""

    journal_id = models.CharField(max_length=32, primary_key=True)
    host = models.CharField(max_length=255)
    first_seen_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(db_index=True)
    ingest_seen_at = models.DateTimeField(null=True, help_text="When its ingest worked last.")
    unshipped_bytes = models.PositiveBigIntegerField(
        default=0, help_text="Written to its journals and not in the database yet."
    )
    ingest_failures = models.PositiveIntegerField(
        default=0, help_text="Tries that the database refused since ingest last worked."
    )

    class Meta:
        verbose_name = "gateway node"
        ordering = ["host", "journal_id"]

    def __str__(self) -> str:
        return self.host

    @property
    def is_alive(self) -> bool:
        return self.last_seen_at > clock.now() - ALIVE_FOR
