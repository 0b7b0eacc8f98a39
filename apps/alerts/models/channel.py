from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from chatvault.lib.names import name_validator


class ChannelQuerySet(models.QuerySet["Channel"]):
    def taking(self, topic: str, team_id: int | None) -> list[Channel]:
        """Active channels to which an alert of the topic goes: the whole installation's, and
        those of the team that it is about."""
        whose = Q(team=None) if team_id is None else Q(team=None) | Q(team_id=team_id)
        rows = self.filter(whose, is_active=True).order_by("pk")
        return [row for row in rows if not row.topics or topic in row.topics]


class Channel(models.Model):
    """Where alerts go: mailboxes, a webhook, or a chat."""

    class Kind(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook (signed JSON)"
        CHAT = "chat", "Chat or pager (Slack, Teams …)"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=100, validators=[name_validator])
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.EMAIL)
    team = models.ForeignKey(
        "accounts.Team",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="alert_channels",
        help_text="Whose alerts it takes. Empty: those of all teams and of the installation.",
    )
    recipients = models.TextField(blank=True)
    sealed = models.TextField(blank=True, editable=False)
    address = models.CharField(max_length=300, blank=True, editable=False)
    topics = models.JSONField(
        default=list, blank=True, help_text="What it takes. None chosen: everything."
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Off: nothing is sent, and what waits is given up."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        verbose_name = "alert channel"
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "name"],
                condition=Q(team__isnull=False),
                name="alert_channel_of_team_once",
                violation_error_message="The team has a channel of this name already.",
            ),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(team__isnull=True),
                name="alert_channel_once",
                violation_error_message="There is a channel of this name already.",
            ),
            models.CheckConstraint(
                condition=(Q(kind="email", sealed="") & ~Q(recipients=""))
                | (Q(kind__in=("webhook", "chat"), recipients="") & ~Q(sealed="")),
                name="alert_channel_has_target",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def mailboxes(self) -> list[str]:
        parts = self.recipients.replace(",", "\n").replace(";", "\n").split("\n")
        return list(dict.fromkeys(part.strip() for part in parts if part.strip()))

    @property
    def shown_target(self) -> str:
        """What may be shown of where it leads: mailboxes, or the host without what is secret."""
        return ", ".join(self.mailboxes) if self.kind == self.Kind.EMAIL else self.address
