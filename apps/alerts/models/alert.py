from __future__ import annotations

import uuid
from datetime import datetime
from typing import Self

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q


class Alert(models.Model):
    """Something that somebody should know, told once however often it was found."""

    topic = models.CharField(max_length=64)
    key = models.CharField(max_length=200, help_text="The same key means the same occurrence.")
    title = models.CharField(max_length=200)
    text = models.TextField()
    facts = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    link = models.CharField(max_length=300, blank=True, help_text="A page of the admin.")
    team_id = models.BigIntegerField(
        "team id", null=True, blank=True, help_text="Empty: it is about the whole installation."
    )
    team_name = models.CharField("team", max_length=100, blank=True)
    at = models.DateTimeField("told")
    last_at = models.DateTimeField("found last")
    count = models.PositiveIntegerField("found", default=1)
    until = models.DateTimeField(
        "counted until",
        null=True,
        blank=True,
        help_text="Found again later, it is told again. Empty: never.",
    )
    is_current = models.BooleanField(
        default=True, help_text="The same key found again is counted here."
    )

    class Meta:
        ordering = ["-at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["topic", "key"], condition=Q(is_current=True), name="alert_told_once"
            ),
            models.CheckConstraint(condition=Q(count__gte=1), name="alert_count_positive"),
        ]
        indexes = [
            models.Index(fields=["-at", "-id"], name="alert_newest"),
            models.Index(fields=["team_id", "-at"], name="alert_of_team"),
        ]

    def __str__(self) -> str:
        return self.title


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self, at: datetime) -> Self:
        """What is to be sent at `at`; among it what a worker died over."""
        return self.filter(state__in=Delivery.OPEN, next_at__lte=at)


class Delivery(models.Model):
    """One alert on its way to one channel."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed, tried again"
        GIVEN_UP = "given_up", "Given up"

    OPEN = (State.WAITING, State.FAILED, State.SENDING)

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    alert = models.ForeignKey(Alert, models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey("alerts.Channel", models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField("next attempt", null=True, blank=True)
    last_error = models.CharField(max_length=300, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField("took (ms)", null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["alert", "channel"], name="alert_delivery_once"),
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False)
                | (~Q(state="sent") & Q(sent_at__isnull=True)),
                name="alert_delivery_sent_at",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("sent", "given_up"), next_at__isnull=True)
                | Q(state__in=("waiting", "sending", "failed"), next_at__isnull=False),
                name="alert_delivery_next_at",
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_at"],
                condition=Q(next_at__isnull=False),
                name="alert_delivery_due",
            ),
            models.Index(fields=["channel", "-id"], name="alert_delivery_of_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.alert} to {self.channel}"
