from __future__ import annotations

from django.db import models
from django.db.models import Q

from chatvault.lib.names import name_validator


class Alias(models.Model):
    """The model name that clients ask for."""

    class Strategy(models.TextChoices):
        WEIGHTED = "weighted", "Weighted: spread by weight, the others are fallbacks"
        ORDERED = "ordered", "Ordered: the first that is healthy"

    name = models.CharField(max_length=150, unique=True, validators=[name_validator])
    strategy = models.CharField(max_length=16, choices=Strategy, default=Strategy.WEIGHTED)
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "aliases"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Target(models.Model):
    """A deployment that serves an alias."""

    alias = models.ForeignKey(Alias, models.CASCADE, related_name="targets")
    deployment = models.ForeignKey("providers.Deployment", models.PROTECT, related_name="targets")
    weight = models.PositiveIntegerField(
        default=1, help_text="Share of the requests among the targets; 0: only as a fallback."
    )
    position = models.PositiveIntegerField(
        default=0, help_text="Order of trying: the lowest first."
    )

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["alias", "deployment"], name="target_unique"),
            models.CheckConstraint(condition=Q(weight__lte=1_000_000), name="target_weight_bound"),
        ]

    def __str__(self) -> str:
        return f"{self.alias} → {self.deployment}"
