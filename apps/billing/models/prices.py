from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.billing import price_parts, pricing
from chatvault.lib.names import name_validator

PER_MILLION = "nano-USD per 1,000,000 tokens"


class PriceBook(models.Model):
    """A list of prices by model. Tiers point at one."""

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    description = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class PriceQuerySet(models.QuerySet["Price"]):
    def valid_at(self, at: datetime) -> Self:
        return self.filter(valid_from__lte=at).filter(Q(valid_to=None) | Q(valid_to__gt=at))

    def of_all_deployments(self) -> Self:
        """Prices of a model, whichever deployment serves it."""
        return self.filter(deployment_id=None)


def _per_million(help_text: str, **options: Any) -> models.PositiveBigIntegerField:
    return models.PositiveBigIntegerField(help_text=f"{help_text} In {PER_MILLION}.", **options)


def _each(help_text: str) -> models.PositiveBigIntegerField:
    return models.PositiveBigIntegerField(default=0, db_default=0, help_text=help_text)


def _json(help_text: str) -> Any:
    return models.JSONField(null=True, blank=True, help_text=help_text)


class Price(models.Model):
    """What one model costs in one book from `valid_from` until `valid_to`. A price version:
    rows in use are ended and followed by a new one, never changed."""

    book = models.ForeignKey(PriceBook, models.CASCADE, related_name="prices")
    model = models.CharField(
        max_length=150, help_text="The provider's name of the model, as deployments have it."
    )
    deployment = models.ForeignKey(
        "providers.Deployment",
        models.DO_NOTHING,  # the version stays for what was booked by it
        db_constraint=False,
        null=True,
        blank=True,
        related_name="+",
        help_text="Only where this deployment serves the model; empty: whichever serves it.",
    )
    valid_from = models.DateTimeField(default=timezone.now)
    valid_to = models.DateTimeField(null=True, blank=True, help_text="Empty: until further notice.")
    input_nano = _per_million("Prompt tokens.")
    output_nano = _per_million("Completion tokens.")
    cached_input_nano = _per_million(
        "Prompt tokens read from the cache; empty: as input.", null=True, blank=True
    )
    cache_write_nano = _per_million(
        "Prompt tokens written to the cache for 5 minutes; empty: as input.", null=True, blank=True
    )
    cache_write_1h_nano = _per_million(
        "Prompt tokens written to the cache for an hour; empty: as the 5 minute write.",
        null=True,
        blank=True,
    )
    reasoning_nano = _per_million("Reasoning tokens; empty: as output.", null=True, blank=True)
    audio_input_nano = _per_million("Audio in; empty: as input.", null=True, blank=True)
    audio_output_nano = _per_million("Audio out; empty: as output.", null=True, blank=True)
    image_input_nano = _per_million("Images in; empty: as input.", null=True, blank=True)
    image_output_nano = _per_million("Images out; empty: as output.", null=True, blank=True)
    per_request_nano = models.PositiveBigIntegerField(
        default=0, help_text="Added to every request, in nano-USD."
    )
    per_second_nano = _each("Per second of audio or video, in nano-USD.")
    per_image_nano = _each("Per image that was made, in nano-USD.")
    per_search_nano = _each("Per web search, in nano-USD.")
    bands = _json("Other rates above a length of the prompt; see apps/billing/price_parts.py.")
    service_tiers = _json("Other rates or a factor by the service tier that served.")
    windows = _json("Other rates or a factor in a part of each day.")
    volume = _json("What a month's volume gives back.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PriceQuerySet.as_manager()

    class Meta:
        ordering = ["book", "model", "-valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["book", "model", "valid_from"],
                condition=Q(deployment=None),
                name="price_start_unique",
            ),
            models.UniqueConstraint(
                fields=["book", "model", "deployment", "valid_from"],
                condition=Q(deployment__isnull=False),
                name="price_start_unique_at",
            ),
            models.UniqueConstraint(
                fields=["book", "model"],
                condition=Q(valid_to=None, deployment=None),
                name="price_one_open_end",
            ),
            models.UniqueConstraint(
                fields=["book", "model", "deployment"],
                condition=Q(valid_to=None, deployment__isnull=False),
                name="price_one_open_end_at",
            ),
            models.CheckConstraint(
                condition=Q(valid_to=None) | Q(valid_to__gt=F("valid_from")),
                name="price_period_forward",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} in {self.book}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Raises ValueError for conditions or a schedule that make no sense."""
        self.version()
        price_parts.schedule_of(self.volume)
        super().save(*args, **kwargs)

    def version(self) -> pricing.Price:
        """The row as everything that bills takes it. Raises ValueError where the row is damaged.

        Bounds are cut to whole seconds, both the same way: no gap between neighbours.
        """
        return pricing.Price(
            id=self.pk,
            model=self.model,
            input=self.input_nano,
            output=self.output_nano,
            cached_input=self.cached_input_nano,
            cache_write=self.cache_write_nano,
            cache_write_1h=self.cache_write_1h_nano,
            reasoning=self.reasoning_nano,
            audio_input=self.audio_input_nano,
            audio_output=self.audio_output_nano,
            per_request=self.per_request_nano,
            valid_from_s=int(self.valid_from.timestamp()),
            valid_to_s=int(self.valid_to.timestamp()) if self.valid_to else None,
            image_input=self.image_input_nano,
            image_output=self.image_output_nano,
            per_second=self.per_second_nano,
            per_image=self.per_image_nano,
            per_search=self.per_search_nano,
            conditions=price_parts.conditions_of(self.bands, self.service_tiers, self.windows),
            deployment_id=self.deployment_id,
        )
