from __future__ import annotations

from django.db import models


class JournalCursor(models.Model):
    """How far one journal segment is in the database."""

    segment = models.CharField(max_length=100, unique=True)
    offset = models.PositiveBigIntegerField(default=0)
    is_finished = models.BooleanField(default=False)
    torn_bytes = models.PositiveIntegerField(default=0, help_text="Cut off by a crash.")
    bad_records = models.PositiveIntegerField(default=0, help_text="Put aside: checksum wrong.")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-updated_at"]
        verbose_name = "journal segment"
        verbose_name_plural = "journal"

    def __str__(self) -> str:
        return self.segment


class OpenIntent(models.Model):
    """A request that was begun in a shipped part of a journal and is not settled yet."""

    request_id = models.UUIDField(unique=True)
    owner = models.CharField(max_length=100, db_index=True, help_text="The journal's process.")
    record = models.BinaryField(help_text="Its records so far, as the journal wrote them.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.request_id)
