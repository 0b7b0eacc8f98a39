from __future__ import annotations

from django.conf import settings
from django.db import models

from chatvault.lib.names import name_validator


class Team(models.Model):
    """A cost centre: clients belong to it, people are its members."""

    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[name_validator],
        help_text="Short name, as it appears in reports and configuration documents.",
    )
    description = models.CharField(max_length=255, blank=True)
    is_active = models.BooleanField(
        "active", default=True, help_text="Keys of an inactive team are refused."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="accounts.Membership", related_name="teams"
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """What one person is in one team."""

    class Role(models.TextChoices):
        VIEWER = "viewer"
        MEMBER = "member"
        ADMIN = "admin", "Team admin"
        BILLING_ADMIN = "billing_admin", "Billing admin"
        OPERATOR = "operator"
        AUDITOR = "auditor"
        OWNER = "owner"

    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.MEMBER)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="membership_unique")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}: {self.get_role_display()}"


class InstallationRole(models.Model):
    """What one person is in the whole installation. Its owners are the superusers."""

    class Role(models.TextChoices):
        VIEWER = "viewer"
        MEMBER = "member"
        ADMIN = "admin", "Team admin of every team"
        BILLING_ADMIN = "billing_admin", "Billing admin"
        OPERATOR = "operator"
        AUDITOR = "auditor"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="installation_roles"
    )
    role = models.CharField(max_length=16, choices=Role)

    class Meta:
        verbose_name = "role in the installation"
        verbose_name_plural = "roles in the installation"
        constraints = [
            models.UniqueConstraint(fields=["user", "role"], name="installationrole_unique")
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()}"
