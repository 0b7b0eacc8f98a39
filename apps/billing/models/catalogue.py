from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q


class CatalogueChange(models.Model):
    """Where the public catalogue says something else than a price book or a deployment. Nothing
    follows from it until somebody takes it over."""

    class Kind(models.TextChoices):
        PRICE = "price", "Price"
        NEW_PRICE = "new-price", "Price of a model without one"
        OUTPUT_LIMIT = "output-limit", "Longest answer"

    class State(models.TextChoices):
        OPEN = "open", "Open"
        TAKEN = "taken", "Taken over"
        DISMISSED = "dismissed", "Dismissed"
        GONE = "gone", "No longer so"

    kind = models.CharField(max_length=16, choices=Kind)
    book = models.ForeignKey(
        "billing.PriceBook", models.CASCADE, null=True, blank=True, related_name="+"
    )
    deployment = models.ForeignKey(
        "providers.Deployment", models.CASCADE, null=True, blank=True, related_name="+"
    )
    model = models.CharField(max_length=150)
    ours: Any = models.JSONField(default=dict, help_text="What we have; nano-USD, or tokens.")
    listed: Any = models.JSONField(default=dict, help_text="What the catalogue says.")
    state = models.CharField(max_length=16, choices=State, default=State.OPEN)
    found_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField("seen last")

    class Meta:
        ordering = ["-found_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["book", "model"],
                condition=Q(state="open", book__isnull=False),
                name="catalogue_price_open_once",
            ),
            models.UniqueConstraint(
                fields=["deployment"],
                condition=Q(state="open", deployment__isnull=False),
                name="catalogue_limit_open_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.model}"
