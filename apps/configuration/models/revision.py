from __future__ import annotations

from django.conf import settings
from django.db import models


class Revision(models.Model):
    """A version of the whole configuration. Its id is the version that gateways serve."""

    class Source(models.TextChoices):
        ADMIN = "admin", "Admin"
        DOCUMENT = "document", "Configuration document"
        FIRST_RUN = "first-run", "First run"
        API = "api", "API"

    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    source = models.CharField(max_length=16, choices=Source)
    comment = models.CharField(max_length=255, blank=True)
    document = models.JSONField(
        help_text="The configuration document as `manage.py config export` writes it."
    )
    digest = models.CharField(max_length=64, help_text="SHA-256 of the document.")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Revision {self.pk}"
