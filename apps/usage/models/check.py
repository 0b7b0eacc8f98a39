from __future__ import annotations

from datetime import timedelta

from django.db import models


class LedgerCheck(models.Model):
    """One verification of the books: what was checked, and what differed."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    asked_by = models.CharField(max_length=150, blank=True, help_text="Empty: the timetable.")
    is_clean = models.BooleanField(help_text="Nothing differed.")
    checks = models.PositiveIntegerField(default=0)
    differing = models.PositiveIntegerField(
        default=0, help_text="How many of the checks found a difference."
    )
    differences = models.PositiveBigIntegerField(default=0)
    findings = models.JSONField(default=list)

    class Meta:
        verbose_name = "self-audit"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Self-audit of {self.started_at:%Y-%m-%d %H:%M}"

    @property
    def took(self) -> timedelta:
        return self.finished_at - self.started_at
