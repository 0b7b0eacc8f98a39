from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import F, Q, Value


class LedgerEntry(models.Model):
    """One line of the double-entry ledger. Rows are only ever added: a trigger refuses UPDATE
    and DELETE, corrections are new rows. The entries of one (request, number) sum to zero."""

    class Account(models.TextChoices):
        CLIENT = "client", "Client (charged)"
        PROVIDER = "provider", "Provider (cost)"
        MARGIN = "margin", "Margin"

    class Kind(models.TextChoices):
        CHARGE = "charge", "Charge"
        ADJUSTMENT = "adjustment", "Adjustment"

    request_id = models.UUIDField()
    number = models.PositiveSmallIntegerField(
        default=0, help_text="0 for the charge, 1, 2 … for adjustments."
    )
    account = models.CharField(max_length=16, choices=Account)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.CHARGE)
    amount_nano = models.BigIntegerField(
        help_text="In nano-USD; negative: the account gives, positive: it receives."
    )
    client_id = models.BigIntegerField("client id", db_index=True)
    team_id = models.BigIntegerField("team id")
    key_id = models.BigIntegerField("key id")
    provider_name = models.CharField(max_length=100, blank=True)
    booked_at = models.DateTimeField(db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)
    author_name = models.CharField("author", max_length=150, blank=True, default="")
    reason = models.CharField(max_length=255, blank=True, default="")
    batch_id = models.CharField(
        "batch",
        max_length=64,
        blank=True,
        default="",
        db_default=Value(""),
        help_text="What caused an adjustment, such as repricing:12; a batch corrects a request "
        "once.",
    )
    user_id = models.BigIntegerField(
        "user id", null=True, help_text="The person whose token it was; empty: nobody's."
    )
    alias = models.CharField(
        max_length=150,
        blank=True,
        default="",
        db_default=Value(""),
        help_text="As it was asked for.",
    )
    provider_id = models.BigIntegerField("provider id", null=True)
    tags = models.JSONField(null=True, blank=True, help_text="Of the request; empty: none.")

    class Meta:
        verbose_name_plural = "ledger entries"
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["booked_at"],
                condition=Q(kind="adjustment"),
                name="ledger_adjustment_by_time",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["request_id", "number", "account"], name="ledger_entry_once"
            ),
            models.UniqueConstraint(
                fields=["batch_id", "request_id", "account"],
                condition=~Q(batch_id=""),
                name="ledger_entry_once_in_a_batch",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.account} {self.amount_nano}"


class ClosedPeriod(models.Model):
    """Books that are closed: nothing is booked into this time any more but what requests are
    charged. Corrections are credit notes, dated when they are made."""

    team_id = models.BigIntegerField("team id", null=True, blank=True, help_text="Empty: all.")
    starts_at = models.DateTimeField(help_text="The first instant of it.")
    ends_at = models.DateTimeField(help_text="The first instant after it.")
    closed_at = models.DateTimeField(auto_now_add=True)
    author_name = models.CharField("closed by", max_length=150, blank=True, default="")
    reason = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        ordering = ["-starts_at", "team_id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="closed_period_forward"
            ),
            models.UniqueConstraint(
                fields=["team_id", "starts_at", "ends_at"], name="closed_period_of_team_unique"
            ),
            models.UniqueConstraint(
                fields=["starts_at", "ends_at"],
                condition=Q(team_id=None),
                name="closed_period_of_all_unique",
            ),
        ]

    def __str__(self) -> str:
        whose = "all teams" if self.team_id is None else f"team {self.team_id}"
        return f"{self.starts_at:%Y-%m-%d} to {self.ends_at:%Y-%m-%d} of {whose}"

    def holds(self, team_id: int, at: datetime) -> bool:
        return self.team_id in (None, team_id) and self.starts_at <= at < self.ends_at
