from __future__ import annotations

from django.db import models


class BudgetWatch(models.Model):
    """The highest line of a budget that was told in its present window. Two workers that find
    the same line reached change this row one after the other; only the first one tells. It is
    kept when the budget goes."""

    budget_id = models.BigIntegerField("budget id", primary_key=True)
    starts_at = models.DateTimeField("start of the window")
    percent = models.PositiveIntegerField(default=0)
    rearmed = models.PositiveIntegerField(
        default=0, help_text="Grows when a line can be told again: after a raise or a credit."
    )

    def __str__(self) -> str:
        return f"{self.percent} % of budget {self.budget_id}"


class BudgetLines(models.Model):
    """At which lines a budget is told of, where they are not those of the installation."""

    budget = models.OneToOneField("billing.Budget", models.CASCADE, related_name="alert_lines")
    percents = models.JSONField(help_text="Whole percent of the amount, ascending.")

    class Meta:
        verbose_name = "alerts"
        verbose_name_plural = "alerts"

    def __str__(self) -> str:
        return ", ".join(f"{percent} %" for percent in self.percents)
