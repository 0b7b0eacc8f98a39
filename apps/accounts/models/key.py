from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q, Value

from chatvault.lib.names import name_validator


def inference_alone() -> list[str]:
    return ["inference"]


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self, at: datetime) -> Self:
        """Keys that may authenticate at `at`: enabled, neither revoked nor expired."""
        return self.filter(is_active=True, revoked_at=None).filter(
            Q(expires_at=None) | Q(expires_at__gt=at)
        )

    def unused_since(self, at: datetime) -> Self:
        """Made before `at` and not used after it."""
        return self.filter(created_at__lt=at).filter(Q(last_used_at=None) | Q(last_used_at__lt=at))

    def expiring(self, at: datetime, within: timedelta) -> Self:
        """Keys that work at `at` and end soon after."""
        return self.usable(at).filter(expires_at__lte=at + within)

    def under_other_pepper(self, number: int) -> Self:
        """Keys that still match, but not under the pepper that is for new ones."""
        return self.filter(revoked_at=None).exclude(digest_scheme=ApiKey.Scheme.HMAC, pepper=number)

    def rotated_and_used(self) -> Self:
        """Keys with a successor that somebody went on using."""
        return self.filter(rotated_at__isnull=False, last_used_at__gt=models.F("rotated_at"))


class ApiKey(models.Model):
    """A client's key. Only a digest is stored; the key itself is shown once."""

    class Scheme(models.TextChoices):
        HMAC = "hmac", "HMAC-SHA256 under a pepper"
        SHA256 = "sha256", "SHA-256, imported from another gateway"

    client = models.ForeignKey("accounts.Client", models.CASCADE, related_name="keys")
    name = models.CharField(
        max_length=100,
        validators=[name_validator],
        help_text="Where the key is used, such as 'ci' or 'laptop'. Unique for the client.",
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    digest_scheme = models.CharField(
        "stored as",
        max_length=8,
        choices=Scheme,
        default=Scheme.HMAC,
        db_default=Value("hmac"),
        editable=False,
        help_text="An imported digest becomes one under the pepper when the key is used.",
    )
    pepper = models.PositiveSmallIntegerField(
        "pepper number",
        null=True,
        default=1,
        db_default=Value(1),
        editable=False,
        help_text="Which pepper of CHATVAULT_KEY_PEPPER the digest was made with.",
    )
    imported_as = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default=Value(""),
        editable=False,
        help_text="A digest of the imported digest, to know it again when it is imported again.",
    )
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
    scopes = models.JSONField(
        default=inference_alone,
        db_default=Value(["inference"], models.JSONField()),
        help_text="What the key may do.",
    )
    networks = models.JSONField(
        default=list,
        blank=True,
        db_default=Value([], models.JSONField()),
        help_text="Networks from which it may call, in CIDR form. Empty: from anywhere.",
    )
    labels = models.JSONField(
        default=dict,
        blank=True,
        db_default=Value({}, models.JSONField()),
        help_text="Names with values, to find keys by.",
    )
    predecessor = models.OneToOneField(
        "self",
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="successor",
        help_text="The key that this one replaces.",
    )
    rotated_at = models.DateTimeField(
        null=True, editable=False, help_text="When a successor was issued."
    )
    last_used_at = models.DateTimeField(
        "last used",
        null=True,
        editable=False,
        help_text="Right to about a minute.",
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
