from __future__ import annotations

from django.db import models


class Announcement(models.Model):
    """Word of a committed change. Gateways read the ids they have not seen yet.

    Written in the transaction of the change, so that it becomes visible with it.
    """

    topic = models.CharField(max_length=32)
    subject = models.CharField(max_length=128, blank=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.topic} {self.subject}".strip()
