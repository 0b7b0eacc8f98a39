from __future__ import annotations

from django.db import models
from django.db.models import Q

from chatvault.lib.names import name_validator


class Provider(models.Model):
    """An API of one family at one base URL."""

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    family = models.CharField(
        max_length=32,
        help_text="Which protocol it speaks: openai for every OpenAI-compatible API.",
    )
    base_url = models.CharField(
        max_length=500,
        blank=True,
        help_text="Such as https://api.openai.com/v1. Private addresses must also be listed in "
        "CHATVAULT_PRIVATE_HOSTS. Changing host or port removes stored secrets.",
    )
    options = models.JSONField(
        default=dict,
        blank=True,
        help_text='Differences of the vendor, such as {"vendor": "mistral"}.',
    )
    connect_timeout_s = models.FloatField(null=True, blank=True, help_text="Empty: the default.")
    first_byte_timeout_s = models.FloatField(null=True, blank=True, help_text="Empty: the default.")
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=(Q(connect_timeout_s=None) | Q(connect_timeout_s__gt=0))
                & (Q(first_byte_timeout_s=None) | Q(first_byte_timeout_s__gt=0)),
                name="provider_timeouts_positive",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Credential(models.Model):
    """A secret of one provider: sealed in the database, or a reference to where it lives."""

    provider = models.ForeignKey(Provider, models.CASCADE, related_name="credentials")
    name = models.CharField(max_length=100, validators=[name_validator])
    secret = models.TextField(
        help_text="Sealed (cv1:…) or a reference: env:NAME or file:PATH. Never shown again."
    )
    origin = models.CharField(
        max_length=300,
        editable=False,
        help_text="scheme://host:port that the secret was given for; it is sent nowhere else.",
    )
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["provider", "name"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "name"], name="credential_name_unique")
        ]

    def __str__(self) -> str:
        return f"{self.provider} / {self.name}"
