from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import Q


class JobRunQuerySet(models.QuerySet["JobRun"]):
    def of(self, name: str, key: str = "") -> Self:
        """Runs of one job with the same arguments."""
        return self.filter(name=name, key=key)

    def unheard_since(self, instant: datetime) -> Self:
        """Runs whose worker should have given a sign of life by now."""
        return self.filter(state=JobRun.State.RUNNING, heartbeat_at__lt=instant)

    def latest_of_each(self) -> Self:
        """The newest of these runs for every job."""
        newest = self.order_by().values("name").annotate(top=models.Max("pk"))
        return self.filter(pk__in=newest.values("top"))


class JobRun(models.Model):
    """One run of a background job: what it does, how far it is, how it ended."""

    class State(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        LOST = "lost", "Lost with its worker"

    name = models.CharField(max_length=100)
    task = models.CharField(max_length=200, help_text="The task that does it.")
    arguments = models.JSONField(default=dict, blank=True)
    key = models.CharField(max_length=64, blank=True, help_text="Digest of the arguments.")
    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    attempt = models.PositiveSmallIntegerField(
        default=1, help_text="Above 1: workers died in the runs before."
    )
    is_resumable = models.BooleanField(default=True)
    done = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(null=True, blank=True)
    unit = models.CharField(max_length=32, blank=True, help_text="What is counted.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="To the queue, last.")
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField("last sign of life", null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True)
    error_class = models.CharField(max_length=100, blank=True)
    error_message = models.CharField(max_length=500, blank=True)
    correlation_id = models.CharField(
        max_length=64, blank=True, help_text="Of the request or message that caused the run."
    )

    objects = JobRunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["name", "-id"], name="jobrun_of_a_name")]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "key"], condition=Q(state="running"), name="jobrun_runs_once"
            ),
            models.UniqueConstraint(
                fields=["name", "key"], condition=Q(state="queued"), name="jobrun_waits_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"

    @property
    def took(self) -> timedelta | None:
        """How long it ran, or has run by its last sign of life."""
        until = self.finished_at or self.heartbeat_at
        return until - self.started_at if until and self.started_at else None

    @property
    def percent(self) -> int | None:
        if self.state == self.State.DONE:
            return 100
        return min(100, 100 * self.done // self.total) if self.total else None
