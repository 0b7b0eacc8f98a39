from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models import F, Max, Q


class BudgetForecastQuerySet(models.QuerySet["BudgetForecast"]):
    def newest(self, budget_ids: Iterable[int] | None = None) -> Self:
        """The latest of each budget, or of these."""
        rows = self.model._default_manager.all()
        if budget_ids is not None:
            rows = rows.filter(budget_id__in=list(budget_ids))
        latest = rows.order_by().values("budget_id").annotate(last=Max("pk")).values("last")
        return self.filter(pk__in=latest)

    def holding(self, at: datetime) -> Self:
        """Those whose window is not over."""
        return self.filter(Q(window_ends_at=None) | Q(window_ends_at__gt=at))


class BudgetForecast(models.Model):
    """What a budget can expect, as it was seen on one day; a day has one, the latest. Amounts are
    in nano-USD; the band holds four of five cases."""

    class Method(models.TextChoices):
        SEASONAL = "seasonal", "Weekdays"
        LEVEL = "level", "Level"
        RATE = "rate", "Rate of few days"
        NONE = "none", "Nothing spent yet"

    budget = models.ForeignKey("billing.Budget", models.CASCADE, related_name="forecasts")
    made_on = models.DateField(help_text="The day, in the budget's own time zone.")
    made_at = models.DateTimeField()
    window_starts_at = models.DateTimeField()
    window_ends_at = models.DateTimeField(null=True, help_text="Empty: the window has no end.")
    last_on = models.DateField("looked at until")
    amount_nano = models.BigIntegerField("amount")
    spent_nano = models.BigIntegerField("spent so far")
    expected_nano = models.BigIntegerField("expected at the end")
    low_nano = models.BigIntegerField("at least")
    high_nano = models.BigIntegerField("at most")
    runs_out_on = models.DateField(null=True, help_text="Empty: more likely than not it lasts.")
    runs_out_earliest = models.DateField(null=True)
    runs_out_latest = models.DateField(null=True)
    daily_nano = models.BigIntegerField("expected a day")
    safe_daily_nano = models.BigIntegerField("safe a day", help_text="What is left, by days left.")
    method = models.CharField(max_length=16, choices=Method)
    days_seen = models.PositiveIntegerField()
    points: Any = models.JSONField(help_text="Day by day: what was spent, and what is expected.")

    objects = BudgetForecastQuerySet.as_manager()

    class Meta:
        ordering = ["-made_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["budget", "made_on"], name="forecast_once_a_day"),
            models.CheckConstraint(
                condition=Q(low_nano__gte=0)
                & Q(expected_nano__gte=F("low_nano"))
                & Q(high_nano__gte=F("expected_nano")),
                name="forecast_band_ordered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget}, seen on {self.made_on:%Y-%m-%d}"

    @property
    def is_breach(self) -> bool:
        """More likely than not it runs out before the end."""
        return self.runs_out_on is not None
