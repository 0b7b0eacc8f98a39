from __future__ import annotations

from django.db import models
from django.db.models import Q


class MonthClose(models.Model):
    """One closing of a month's books: what was checked, what was waived, and by whom. While it is
    closed, `billing.ClosedPeriod` keeps adjustments out of the month."""

    class State(models.TextChoices):
        CHECKING = "checking", "Is being checked"
        BLOCKED = "blocked", "Something stands in the way"
        READY = "ready", "Can be closed"
        CLOSED = "closed", "Closed"
        REOPENED = "reopened", "Reopened"
        GIVEN_UP = "given_up", "Given up"

    month = models.DateField(help_text="Its first day.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=State, default=State.CHECKING)
    checks = models.JSONField(default=list, blank=True)
    waivers = models.JSONField(
        default=dict, blank=True, help_text="By check: why it does not stand in the way."
    )
    checked_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=150, blank=True, default="")
    reopened_at = models.DateTimeField(null=True)
    reopened_by = models.CharField(max_length=150, blank=True, default="")
    reason = models.CharField(max_length=255, blank=True, default="", help_text="Of reopening.")
    author_name = models.CharField("begun by", max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-month", "-pk"]
        verbose_name = "monthly close"
        constraints = [
            models.UniqueConstraint(
                fields=["month"],
                condition=Q(state__in=["checking", "blocked", "ready", "closed"]),
                name="month_close_once_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"
