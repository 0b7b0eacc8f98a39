from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.sign_in.models.provider import ROLES


class Invitation(models.Model):
    """A link with which one person may come, once, with this role."""

    digest = models.CharField(max_length=64, unique=True, editable=False)
    email = models.EmailField(
        "e-mail address",
        blank=True,
        help_text="For whom: with an outside provider only this verified address may come. "
        "Empty: whoever has the link.",
    )
    role = models.CharField(
        max_length=16, choices=ROLES, help_text="Not more than you have yourself."
    )
    team = models.ForeignKey(
        "accounts.Team",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: the role holds in the whole installation.",
    )
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField("valid until")
    accepted_at = models.DateTimeField(null=True, blank=True, editable=False)
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(
                fields=["email"], condition=Q(accepted_at=None), name="invitation_open_email"
            )
        ]

    def __str__(self) -> str:
        where = f"in {self.team}" if self.team else "in the installation"
        return f"{self.email or 'whoever has the link'}: {self.role} {where}"

    def is_open(self, at: datetime) -> bool:
        return self.accepted_at is None and self.withdrawn_at is None and self.expires_at > at
