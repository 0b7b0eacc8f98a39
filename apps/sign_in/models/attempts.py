from __future__ import annotations

from django.db import models


class FailedSignIns(models.Model):
    """How often signing in failed for one account or from one address, and until when it waits."""

    class Kind(models.TextChoices):
        ACCOUNT = "account", "account"
        ADDRESS = "address", "address"

    kind = models.CharField(max_length=8, choices=Kind)
    digest = models.CharField(max_length=64, editable=False, help_text="SHA-256 of what it is of.")
    subject = models.CharField(
        max_length=150, help_text="The user name that was tried, or the address or its /64."
    )
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    first_at = models.DateTimeField("first failure")
    last_at = models.DateTimeField("last failure", db_index=True)
    locked_until = models.DateTimeField(
        null=True, blank=True, help_text="Until then nothing is even tried."
    )

    class Meta:
        verbose_name = "lockout"
        verbose_name_plural = "lockouts"
        ordering = ["-last_at"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "digest"], name="failed_sign_ins_unique")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject}"
