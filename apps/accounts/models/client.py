from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Count, Q

from chatvault.lib.names import name_validator


class ClientQuerySet(models.QuerySet["Client"]):
    def with_live_key_count(self) -> Self:
        """Annotates `live_key_count`: keys that are neither disabled nor revoked."""
        live = Q(keys__is_active=True, keys__revoked_at=None)
        return self.annotate(live_key_count=Count("keys", filter=live, distinct=True))


class Client(models.Model):
    """An application that calls ChatVault; it holds keys and has a pricing tier."""

    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="clients")
    name = models.CharField(
        max_length=100,
        unique=True,
        validators=[name_validator],
        help_text="Short name, as it appears in reports and configuration documents.",
    )
    description = models.CharField(max_length=255, blank=True)
    tier = models.ForeignKey(
        "billing.PricingTier",
        models.PROTECT,
        related_name="clients",
        null=True,
        blank=True,
        help_text="Which price book and mark-up apply. Without a tier nothing is priced.",
    )
    aliases = models.ManyToManyField(
        "providers.Alias",
        blank=True,
        related_name="clients",
        help_text="The models that its keys may use.",
    )
    may_use_all_aliases = models.BooleanField(
        default=False, help_text="Every alias, also those made later; the list is ignored."
    )
    is_active = models.BooleanField(
        "active", default=True, help_text="Keys of an inactive client are refused."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ClientQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
