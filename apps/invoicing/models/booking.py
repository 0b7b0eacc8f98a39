from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.invoicing.models.bills import Bill


class BillAdjustment(models.Model):
    """An "adjust to invoice": entries of the cost side that bring our cost to the bill. What it
    books is fixed when it is made, so a run that was stopped goes on where it was."""

    class State(models.TextChoices):
        BOOKING = "booking", "Is being booked"
        BOOKED = "booked", "Booked"
        UNDOING = "undoing", "Is being undone"
        UNDONE = "undone", "Undone"

    bill = models.ForeignKey(Bill, models.PROTECT, related_name="adjustments")
    number = models.PositiveSmallIntegerField(help_text="1 for the first of its bill.")
    state = models.CharField(max_length=16, choices=State, default=State.BOOKING)
    reason = models.CharField(max_length=200)
    author_name = models.CharField("by", max_length=150)
    undone_by = models.CharField(max_length=150, blank=True, default="")
    through_entry = models.BigIntegerField(help_text="The last ledger entry that was looked at.")
    through_request = models.BigIntegerField(help_text="The last request that was looked at.")
    amount_nano = models.BigIntegerField(help_text="Added to our cost, in nano-USD.")
    requests = models.PositiveBigIntegerField(default=0)
    problem = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["bill", "number"], name="bill_adjustment_unique"),
            models.UniqueConstraint(
                fields=["bill"],
                condition=~Q(state="undone"),
                name="bill_adjusted_once_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"adjustment {self.number} of {self.bill}"

    @property
    def batch_id(self) -> str:
        return f"invoice:{self.bill_id}:{self.number}"

    @property
    def undo_batch_id(self) -> str:
        return f"{self.batch_id}:undo"


class BillAdjustmentLine(models.Model):
    """By how much the cost of a model on a day is changed. `dated_at` is set where the books of
    that day were closed: the entries are dated then."""

    adjustment = models.ForeignKey(BillAdjustment, models.CASCADE, related_name="lines")
    day = models.DateField()
    model = models.CharField(max_length=150)
    delta_nano = models.BigIntegerField()
    requests = models.PositiveBigIntegerField(default=0)
    dated_at = models.DateTimeField(null=True)
    unmatched = models.CharField(max_length=100, blank=True, default="")

    class Meta:
        ordering = ["day", "model"]
        constraints = [
            models.UniqueConstraint(
                fields=["adjustment", "day", "model"], name="bill_adjustment_line_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.model}"
