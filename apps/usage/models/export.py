from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models import F, Q


class UsageExportQuerySet(models.QuerySet["UsageExport"]):
    def over(self, at: datetime) -> Self:
        """Those whose file is kept no longer."""
        return self.filter(expires_at__lte=at)

    def unfinished(self) -> Self:
        return self.filter(state__in=(UsageExport.State.WAITING, UsageExport.State.RUNNING))


class UsageExport(models.Model):
    """A file of requests that is made in the background, day by day. What it holds was fixed when
    it was asked for: who asked sees the teams that were visible then."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    class Format(models.TextChoices):
        CSV = "csv", "CSV"
        JSON = "json", "JSON"
        PARQUET = "parquet", "Parquet"
        FOCUS = "focus", "FOCUS (CSV)"

    format = models.CharField(max_length=16, choices=Format)
    starts_at = models.DateTimeField("from")
    ends_at = models.DateTimeField("until")
    filters = models.JSONField(default=dict, help_text="By dimension: the values.")
    team_ids = models.JSONField(null=True, help_text="Whose requests are in it; null: everybody's.")
    team_id = models.BigIntegerField("team", null=True, help_text="If it is one alone.")
    only_client_id = models.BigIntegerField(null=True)
    only_key_id = models.BigIntegerField(null=True)
    only_user_id = models.BigIntegerField(null=True)
    author_kind = models.CharField(max_length=16)
    author_name = models.CharField("asked for by", max_length=200)
    author_user_id = models.BigIntegerField(null=True)
    author_client_id = models.BigIntegerField(null=True)
    author_key_id = models.BigIntegerField(null=True)
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    days_done = models.PositiveIntegerField(default=0)
    days_total = models.PositiveIntegerField()
    rows = models.PositiveBigIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    problem = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(help_text="Then the file is removed.")

    objects = UsageExportQuerySet.as_manager()

    class Meta:
        verbose_name = "export"
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="export_span_forward"
            )
        ]
        indexes = [models.Index(fields=["expires_at"], name="export_expiry")]

    def __str__(self) -> str:
        last = self.ends_at - timedelta(microseconds=1)  # the end itself is not part of it
        return f"{self.get_format_display()}, {self.starts_at:%Y-%m-%d} to {last:%Y-%m-%d}"

    @property
    def share(self) -> int:
        """How much is done, in percent."""
        return 100 * self.days_done // self.days_total if self.days_total else 100

    @property
    def file_name(self) -> str:
        ending = "focus.csv" if self.format == self.Format.FOCUS else self.format
        return f"usage-{self.starts_at:%Y%m%d}-{self.ends_at:%Y%m%d}.{ending}"
