from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q


class WhatIf(models.Model):
    """A client's traffic of some time, priced as if something had been otherwise. It changes
    nothing. Amounts are in nano-USD."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waits for a worker"
        DONE = "done", "Worked out"
        FAILED = "failed", "Failed"

    client = models.ForeignKey(
        "accounts.Client", models.CASCADE, related_name="+", help_text="Whose requests."
    )
    starts_at = models.DateTimeField("from", help_text="In UTC. Requests from then on.")
    ends_at = models.DateTimeField(
        "until", help_text="In UTC. Requests before then; 400 days at most."
    )
    only_alias = models.CharField(
        "only of model",
        max_length=150,
        blank=True,
        default="",
        help_text="Only requests that asked for this model; empty: all.",
    )
    alias = models.ForeignKey(
        "providers.Alias",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="on model",
        help_text="As if this model had answered, with the same tokens. Embeddings are left.",
    )
    cached_percent = models.PositiveSmallIntegerField(
        "cached (%)",
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="As if at least so many percent of every prompt had been read from the "
        "provider's cache. What was written to it stays as it was.",
    )
    service_tier = models.CharField(
        max_length=32,
        blank=True,
        default="",
        validators=[RegexValidator(r"^[a-z0-9][a-z0-9_.-]{0,31}$")],
        help_text="As if served in this tier of the provider, such as batch or flex.",
    )
    tier = models.ForeignKey(
        "billing.PricingTier",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="pricing tier",
        help_text="As if the client had had this pricing tier.",
    )
    words = models.CharField("as if", max_length=500, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    author_name = models.CharField("asked by", max_length=150, blank=True, editable=False)
    state = models.CharField(
        max_length=8, choices=State, default=State.WAITING, db_default="waiting", editable=False
    )
    is_exact = models.BooleanField(default=True, editable=False)
    requests = models.PositiveBigIntegerField(default=0, editable=False)
    left_out = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="Requests that would have no price."
    )
    cost_now_nano = models.BigIntegerField("cost", default=0, editable=False)
    cost_then_nano = models.BigIntegerField("cost then", null=True, editable=False)
    charged_now_nano = models.BigIntegerField("charged", default=0, editable=False)
    charged_then_nano = models.BigIntegerField("charged then", null=True, editable=False)
    lines: Any = models.JSONField(default=list, editable=False)
    notes: Any = models.JSONField(default=list, editable=False)

    class Meta:
        verbose_name = "what-if"
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="what_if_forward"),
            models.CheckConstraint(
                condition=Q(cached_percent=None) | Q(cached_percent__lte=100),
                name="what_if_percent",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.client}: {self.words}"
