from __future__ import annotations

from datetime import datetime
from typing import Self

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q


class InitialAccessTokenQuerySet(models.QuerySet["InitialAccessToken"]):
    def usable(self, at: datetime) -> Self:
        """Tokens with which an application may register itself at `at`."""
        return self.filter(
            revoked_at=None, expires_at__gt=at, uses__lt=F("max_uses"), payer__is_active=True
        ).filter(payer__team__is_active=True)


class InitialAccessToken(models.Model):
    """With it an application may register itself (RFC 7591 §3), for this client and no more."""

    name = models.CharField(max_length=100, help_text="Who gets it, and what for.")
    payer = models.ForeignKey(
        "accounts.Client",
        models.CASCADE,
        related_name="initial_access_tokens",
        verbose_name="client",
        help_text="Applications that register with it belong to this client and its team.",
    )
    scopes = models.JSONField(
        default=list, help_text="The most that applications may ask for that register with it."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField("token", max_length=16, editable=False)
    max_uses = models.PositiveIntegerField(
        "most registrations",
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text="How many applications may register with it.",
    )
    uses = models.PositiveIntegerField("registrations", default=0, editable=False)
    expires_at = models.DateTimeField(help_text="From then on nobody registers with it.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        related_name="+",
        null=True,
        blank=True,
        editable=False,
    )

    objects = InitialAccessTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(uses__lte=F("max_uses")), name="initialaccesstoken_uses_bounded"
            )
        ]

    def __str__(self) -> str:
        return self.name
