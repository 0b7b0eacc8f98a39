from __future__ import annotations

from datetime import datetime

from django.db import models


class KeptSince(models.Model):
    """From when on a table has all its rows. What is older may be gone: it is compared with
    nothing and nothing is computed from it."""

    class Subject(models.TextChoices):
        REQUESTS = "requests"
        ATTEMPTS = "attempts"

    subject = models.CharField(max_length=16, choices=Subject, unique=True)
    since = models.DateTimeField()

    class Meta:
        verbose_name_plural = "kept since"

    def __str__(self) -> str:
        return f"{self.subject}: {self.since:%Y-%m-%d}"

    @classmethod
    def of(cls, subject: Subject) -> datetime | None:
        """None: every row that was ever written is there."""
        return cls.objects.filter(subject=subject).values_list("since", flat=True).first()
