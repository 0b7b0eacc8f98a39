from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q


class Statement(models.Model):
    """A numbered document of what a team (or one client of it) used and was charged in a month, or
    of corrections that came after such a document. Nothing of it changes once it is issued."""

    class Kind(models.TextChoices):
        STATEMENT = "statement", "Statement"
        CREDIT_NOTE = "credit_note", "Credit note"

    number = models.PositiveBigIntegerField(unique=True, help_text="Without gaps, over all teams.")
    reference = models.CharField("number", max_length=40, unique=True)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.STATEMENT)
    team_id = models.BigIntegerField("team id")
    team_name = models.CharField("team", max_length=100)
    client_id = models.BigIntegerField("client id", null=True, help_text="Empty: the whole team.")
    client_name = models.CharField("client", max_length=100, blank=True, default="")
    starts_at = models.DateTimeField("from")
    ends_at = models.DateTimeField("to")
    time_zone = models.CharField(max_length=64)
    listed_in = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="credit_notes",
        help_text="Of a credit note: the statement that takes its amount over.",
    )  # fmt: skip
    charged_nano = models.BigIntegerField(default=0)
    adjusted_nano = models.BigIntegerField("adjustments", default=0)
    credited_nano = models.BigIntegerField("credit notes", default=0)
    total_nano = models.BigIntegerField(default=0, help_text="In nano-USD.")
    cost_nano = models.BigIntegerField(default=0)
    requests = models.PositiveBigIntegerField(default=0)
    currency = models.CharField(max_length=3, default="USD")
    rate = models.DecimalField(
        "USD for 1", max_digits=24, decimal_places=12, null=True, help_text="Empty for USD."
    )
    rate_day = models.DateField(null=True)
    total_currency_nano = models.BigIntegerField(
        "total in its currency", default=0, help_text="10⁻⁹ of its currency."
    )
    through_entry = models.BigIntegerField(help_text="The last ledger entry that it knew.")
    author_name = models.CharField("issued by", max_length=150)
    issued_at = models.DateTimeField()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["team_id", "client_id", "starts_at"],
                condition=Q(kind="statement", client_id__isnull=False),
                name="statement_of_client_once",
            ),
            models.UniqueConstraint(
                fields=["team_id", "starts_at"],
                condition=Q(kind="statement", client_id=None),
                name="statement_of_team_once",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="statement_forward"
            ),
        ]
        indexes = [models.Index(fields=["team_id", "client_id"], name="statement_by_owner")]

    def __str__(self) -> str:
        return self.reference

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None and not kwargs.get("force_insert"):
            raise TypeError("An issued document does not change: issue a credit note.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("An issued document stays: issue a credit note.")


class StatementLine(models.Model):
    """What one client used of one model, in nano-USD."""

    statement = models.ForeignKey(Statement, models.PROTECT, related_name="lines")
    client_id = models.BigIntegerField("client id")
    client_name = models.CharField("client", max_length=100)
    model = models.CharField(max_length=150, blank=True)
    requests = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    charged_nano = models.BigIntegerField(default=0)
    adjusted_nano = models.BigIntegerField(default=0)
    credited_nano = models.BigIntegerField(default=0)
    cost_nano = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["client_name", "model", "pk"]

    def __str__(self) -> str:
        return f"{self.client_name} {self.model}"

    @property
    def total_nano(self) -> int:
        return self.charged_nano + self.adjusted_nano + self.credited_nano


class StatementFile(models.Model):
    """A document as it was issued, byte for byte."""

    class Form(models.TextChoices):
        PDF = "pdf", "PDF"
        CSV = "csv", "CSV"

    statement = models.ForeignKey(Statement, models.PROTECT, related_name="files")
    form = models.CharField(max_length=8, choices=Form)
    shows_margins = models.BooleanField(default=False)
    content = models.BinaryField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the content.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["statement", "form", "shows_margins"], name="statement_file_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.statement_id}.{self.form}"


class CreditedEntry(models.Model):
    """A ledger entry that a credit note holds: no other one of the same series holds it."""

    statement = models.ForeignKey(Statement, models.PROTECT, related_name="credited")
    entry_id = models.BigIntegerField(db_index=True)
    is_of_client = models.BooleanField(help_text="Of the series of one client, not of the team.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entry_id", "is_of_client"], name="credited_entry_once")
        ]

    def __str__(self) -> str:
        return f"entry {self.entry_id}"
