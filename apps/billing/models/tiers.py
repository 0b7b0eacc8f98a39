from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import Q

from apps.billing import price_parts, pricing
from apps.billing.models.prices import PriceBook
from chatvault.lib.names import name_validator

PPM_PER_PERCENT = 10_000


class PricingTier(models.Model):
    """What a client pays: a book, and a mark-up or discount on it. Each change of it leaves a
    version, `TierTerms`, by which every charge can be worked out again."""

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    price_book = models.ForeignKey(PriceBook, models.PROTECT, related_name="tiers")
    markup_percent = models.DecimalField(
        max_digits=9,
        decimal_places=4,
        default=0,
        validators=[MinValueValidator(-100)],
        help_text="Added to the list price in percent; negative for a discount.",
    )
    minimum_nano = models.PositiveBigIntegerField(
        default=0,
        db_default=0,
        help_text="The least that a billed request is charged, in nano-USD.",
    )
    overrides: Any = models.JSONField(
        null=True, blank=True, help_text="Fixed prices by model, in place of book and mark-up."
    )
    volume: Any = models.JSONField(
        null=True, blank=True, help_text="What a month's volume gives back; before the price's."
    )
    current_terms = models.ForeignKey(
        "billing.TierTerms", models.PROTECT, null=True, editable=False, related_name="+"
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(markup_percent__gte=-100), name="tier_markup_not_below_free"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @transaction.atomic
    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises ValueError for fixed prices or a schedule that make no sense."""
        price_parts.overrides_of(self.overrides)
        price_parts.schedule_of(self.volume)
        super().save(*args, **kwargs)
        wanted = self._wanted()
        if self.current_terms is None or self.current_terms.as_written() != wanted:
            self.current_terms = TierTerms.objects.create(tier=self, **wanted)
            super().save(update_fields=["current_terms"])

    def terms(self) -> pricing.Terms:
        """What its clients are charged by now."""
        if self.current_terms is not None and self.current_terms.as_written() == self._wanted():
            return self.current_terms.version()
        return TierTerms(tier=self, **self._wanted()).version()

    def _wanted(self) -> dict[str, Any]:
        return {
            "tier_name": self.name,
            "book_id": self.price_book_id,
            "markup_ppm": int(Decimal(self.markup_percent) * PPM_PER_PERCENT),
            "minimum_nano": self.minimum_nano,
            "overrides": self.overrides or None,
            "volume": self.volume or None,
        }


class TierTerms(models.Model):
    """One version of a pricing tier. The database refuses to change it."""

    tier = models.ForeignKey(
        PricingTier,
        models.DO_NOTHING,  # stays for what was charged by it
        db_constraint=False,
        related_name="versions",
    )
    tier_name = models.CharField(max_length=100)
    book = models.ForeignKey(PriceBook, models.DO_NOTHING, db_constraint=False, related_name="+")
    markup_ppm = models.BigIntegerField("mark-up", help_text="In parts per million.")
    minimum_nano = models.PositiveBigIntegerField(default=0, help_text="In nano-USD.")
    overrides: Any = models.JSONField(null=True, blank=True)
    volume: Any = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "tier terms"
        constraints = [
            models.CheckConstraint(
                condition=Q(markup_ppm__gte=-pricing.PPM), name="terms_markup_not_below_free"
            )
        ]

    def __str__(self) -> str:
        return f"{self.tier_name}, version {self.pk}"

    def as_written(self) -> dict[str, Any]:
        return {
            "tier_name": self.tier_name,
            "book_id": self.book_id,
            "markup_ppm": self.markup_ppm,
            "minimum_nano": self.minimum_nano,
            "overrides": self.overrides,
            "volume": self.volume,
        }

    def version(self) -> pricing.Terms:
        """The row as everything that bills takes it. Raises ValueError where it is damaged."""
        return pricing.Terms(
            tier_id=self.tier_id,
            markup_ppm=self.markup_ppm,
            terms_id=self.pk or 0,
            minimum_nano=self.minimum_nano,
            overrides=price_parts.overrides_of(self.overrides),
        )
