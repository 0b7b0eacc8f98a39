from __future__ import annotations

from django.db import models


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

    class Meta:
        verbose_name_plural = "ledger entries"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["request_id", "number", "account"], name="ledger_entry_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.account} {self.amount_nano}"
