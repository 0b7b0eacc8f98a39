from __future__ import annotations

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from chatvault.lib.names import name_validator


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self, at: datetime) -> Self:
        """Keys that may authenticate at `at`: enabled, neither revoked nor expired."""
        return self.filter(is_active=True, revoked_at=None).filter(
            Q(expires_at=None) | Q(expires_at__gt=at)
        )


class ApiKey(models.Model):
    """A client's key. Only a peppered digest is stored; the key itself is shown once."""

    client = models.ForeignKey("accounts.Client", models.CASCADE, related_name="keys")
    name = models.CharField(
        max_length=100,
        validators=[name_validator],
        help_text="Where the key is used, such as 'ci' or 'laptop'. Unique for the client.",
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(
        max_length=16, editable=False, help_text="First and last characters, to recognise it."
    )
    is_active = models.BooleanField(
        "enabled", default=True, help_text="A disabled key is refused and can be enabled again."
    )
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on the key is refused. Empty: never."
    )
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    aliases = models.ManyToManyField(
        "providers.Alias",
        blank=True,
        related_name="keys",
        help_text="Narrows what the client may use. Empty: all of the client's models.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["client", "name"]
        constraints = [
            models.UniqueConstraint(fields=["client", "name"], name="apikey_name_unique"),
            models.CheckConstraint(condition=~Q(digest=""), name="apikey_digest_present"),
        ]

    def __str__(self) -> str:
        return f"{self.client} / {self.name}"
