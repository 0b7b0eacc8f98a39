from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from apps.billing.models import PriceBook, TierTerms


class RepricingQuerySet(models.QuerySet["Repricing"]):
    def overlapping(self, starts_at: datetime, ends_at: datetime) -> Self:
        return self.filter(starts_at__lt=ends_at, ends_at__gt=starts_at)

    def moving(self) -> Self:
        """Those whose entries are being booked."""
        return self.filter(state__in=(Repricing.State.APPROVED, Repricing.State.UNDOING))


class Repricing(models.Model):
    """Requests of a range priced again. The requests and their charges stay as they are: what
    changes is booked as adjustments, and undone by the opposite ones."""

    class Basis(models.TextChoices):
        CORRECTED = "corrected", "Each client's own book, as its prices are now"
        BOOK = "book", "Another price book"
        TERMS = "terms", "A version of a pricing tier"

    class State(models.TextChoices):
        CHECKING = "checking", "Dry run"
        CHECKED = "checked", "Waits for approval"
        APPROVED = "approved", "Being booked"
        BOOKED = "booked", "Booked"
        UNDOING = "undoing", "Being undone"
        UNDONE = "undone", "Undone"
        WITHDRAWN = "withdrawn", "Withdrawn"

    reason = models.CharField(
        max_length=200, help_text="Why. Every entry in the ledger will say it."
    )
    starts_at = models.DateTimeField(
        "from", help_text="Requests that began at this instant or later, in UTC."
    )
    ends_at = models.DateTimeField("until", help_text="And before this instant, in UTC.")
    team_id = models.BigIntegerField("team id", null=True, blank=True)
    client_id = models.BigIntegerField("client id", null=True, blank=True)
    alias = models.CharField(max_length=150, blank=True, help_text="As clients asked for it.")
    model = models.CharField(max_length=150, blank=True, help_text="As the provider calls it.")
    provider_name = models.CharField("provider", max_length=100, blank=True)
    basis = models.CharField("priced by", max_length=16, choices=Basis, default=Basis.CORRECTED)
    book = models.ForeignKey(
        PriceBook, models.SET_NULL, null=True, blank=True, related_name="+",
        help_text="The price book, where another one than the client's is meant.",
    )  # fmt: skip
    terms = models.ForeignKey(
        TierTerms,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The version of a tier, where its mark-up, fixed prices and book are meant.",
    )
    prices_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Prices that were valid at this instant, in UTC; empty: when each request began.",
    )
    as_credit_note = models.BooleanField(
        default=False,
        help_text="Date the adjustments when they are booked, not when the requests were made. "
        "Closed months take nothing else.",
    )
    state = models.CharField(max_length=16, choices=State, default=State.CHECKING)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    author_name = models.CharField("author", max_length=150, blank=True)
    approver_name = models.CharField("approved by", max_length=150, blank=True)
    undoer_name = models.CharField("undone by", max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField("dry run ended", null=True, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    booked_at = models.DateTimeField("booked", null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)
    undo_dated_at = models.DateTimeField(null=True, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    counts = models.JSONField(default=dict, blank=True)
    unpriced_models = models.JSONField(default=list, blank=True)
    examples = models.JSONField(default=list, blank=True)
    cost_before_nano = models.BigIntegerField(default=0)
    cost_after_nano = models.BigIntegerField(default=0)
    charged_before_nano = models.BigIntegerField(default=0)
    charged_after_nano = models.BigIntegerField(default=0)
    trouble = models.CharField("last trouble", max_length=500, blank=True)

    objects = RepricingQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="repricing_range_forward"
            ),
        ]

    def __str__(self) -> str:
        return f"Repricing {self.pk}: {self.reason}"

    @property
    def batch_id(self) -> str:
        return f"repricing:{self.pk}"

    @property
    def undo_batch_id(self) -> str:
        return f"repricing:{self.pk}:undo"

    @property
    def cost_delta_nano(self) -> int:
        return self.cost_after_nano - self.cost_before_nano

    @property
    def charged_delta_nano(self) -> int:
        return self.charged_after_nano - self.charged_before_nano

    @property
    def is_underway(self) -> bool:
        return self.state in (self.State.CHECKING, self.State.APPROVED, self.State.UNDOING)

    def count(self, name: str) -> int:
        found: Any = self.counts.get(name, 0)
        return int(found)


class RepricingLine(models.Model):
    """What a dry run found for one client, alias and model."""

    repricing = models.ForeignKey(Repricing, models.CASCADE, related_name="lines")
    team_id = models.BigIntegerField("team id")
    client_id = models.BigIntegerField("client id")
    team_name = models.CharField("team", max_length=100, blank=True)
    client_name = models.CharField("client", max_length=100, blank=True)
    alias = models.CharField(max_length=150, blank=True)
    model = models.CharField(max_length=150, blank=True)
    provider_name = models.CharField("provider", max_length=100, blank=True)
    requests = models.PositiveBigIntegerField(default=0)
    changed = models.PositiveBigIntegerField(default=0)
    cost_before_nano = models.BigIntegerField(default=0)
    cost_after_nano = models.BigIntegerField(default=0)
    charged_before_nano = models.BigIntegerField(default=0)
    charged_after_nano = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["repricing", "id"]

    def __str__(self) -> str:
        return f"{self.client_name} {self.model}"


class RepricedRequest(models.Model):
    """One request whose price changes: what is approved here is what will be booked."""

    repricing = models.ForeignKey(Repricing, models.CASCADE, related_name="requests")
    request_id = models.UUIDField()
    price_id = models.BigIntegerField("price version")
    cost_before_nano = models.BigIntegerField()
    cost_after_nano = models.BigIntegerField()
    charged_before_nano = models.BigIntegerField()
    charged_after_nano = models.BigIntegerField()

    class Meta:
        ordering = ["repricing", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["repricing", "request_id"], name="repriced_request_once"
            ),
            models.CheckConstraint(
                condition=Q(cost_after_nano__gte=0, charged_after_nano__gte=0),
                name="repriced_request_not_credited",
            ),
        ]

    def __str__(self) -> str:
        return str(self.request_id)
