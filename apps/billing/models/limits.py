from __future__ import annotations

from typing import Any

from django.db import models, transaction
from django.db.models import Q

_ONE_SCOPE = (
    Q(team__isnull=False, client__isnull=True, key__isnull=True)
    | Q(team__isnull=True, client__isnull=False, key__isnull=True)
    | Q(team__isnull=True, client__isnull=True, key__isnull=False)
)


class Scoped(models.Model):
    """A rule on exactly one team, client or key."""

    team = models.ForeignKey(
        "accounts.Team", models.CASCADE, null=True, blank=True, related_name="%(class)ss"
    )
    client = models.ForeignKey(
        "accounts.Client", models.CASCADE, null=True, blank=True, related_name="%(class)ss"
    )
    key = models.ForeignKey(
        "accounts.ApiKey", models.CASCADE, null=True, blank=True, related_name="%(class)ss"
    )

    class Meta:
        abstract = True

    @property
    def scope(self) -> object:
        """The team, client or key that the rule is on."""
        return self.team or self.client or self.key


class Quota(Scoped):
    """A ceiling on use in a sliding window, or at one time."""

    class Unit(models.TextChoices):
        REQUESTS = "requests", "Requests"
        TOKENS = "tokens", "Tokens"
        CONCURRENCY = "concurrency", "Concurrent requests"

    unit = models.CharField(max_length=16, choices=Unit)
    window_s = models.PositiveIntegerField(
        "window (seconds)",
        default=60,
        help_text="Length of the sliding window in seconds. Concurrency has none: keep 1.",
    )
    ceiling = models.PositiveBigIntegerField(help_text="A request that would pass this is refused.")
    is_active = models.BooleanField("active", default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=_ONE_SCOPE, name="quota_one_scope"),
            models.CheckConstraint(condition=Q(ceiling__gt=0), name="quota_ceiling_positive"),
            models.CheckConstraint(
                condition=Q(window_s__gte=1, window_s__lte=31 * 86400), name="quota_window_bound"
            ),
            models.UniqueConstraint(fields=["team", "unit", "window_s"], name="quota_team_once"),
            models.UniqueConstraint(
                fields=["client", "unit", "window_s"], name="quota_client_once"
            ),
            models.UniqueConstraint(fields=["key", "unit", "window_s"], name="quota_key_once"),
        ]

    def __str__(self) -> str:
        return f"{self.scope}: {self.ceiling} {self.unit} per {self.window_s} s"


class Budget(Scoped):
    """The most that a scope may spend in a period."""

    class Period(models.TextChoices):
        DAY = "day", "Day (UTC)"
        MONTH = "month", "Month (UTC)"
        TOTAL = "total", "In all"

    amount_nano = models.PositiveBigIntegerField(help_text="In nano-USD.")
    period = models.CharField(max_length=8, choices=Period, default=Period.MONTH)
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=_ONE_SCOPE, name="budget_one_scope"),
            models.UniqueConstraint(fields=["team", "period"], name="budget_team_once"),
            models.UniqueConstraint(fields=["client", "period"], name="budget_client_once"),
            models.UniqueConstraint(fields=["key", "period"], name="budget_key_once"),
        ]

    def __str__(self) -> str:
        return f"{self.scope}: per {self.period}"

    @transaction.atomic
    def save(self, *args: Any, **options: Any) -> None:
        """With another scope or period the running sums no longer fit: they are dropped, and
        come again from the ledger."""
        fields = ("team_id", "client_id", "key_id", "period")
        before = type(self)._default_manager.filter(pk=self.pk).values_list(*fields).first()
        super().save(*args, **options)
        if before is not None and before != tuple(getattr(self, name) for name in fields):
            BudgetWindow._default_manager.filter(budget_id=self.pk).delete()


class BudgetWindow(models.Model):
    """What one budget has spent in one of its periods; derived from the ledger."""

    budget = models.ForeignKey(Budget, models.CASCADE, related_name="windows")
    starts_at = models.DateTimeField()
    settled_nano = models.BigIntegerField(default=0)
    booking = models.PositiveBigIntegerField(
        default=0, help_text="The number of the batch that changed it last."
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["budget", "starts_at"], name="budget_window_unique")
        ]

    def __str__(self) -> str:
        return f"{self.budget} from {self.starts_at:%Y-%m-%d}"
