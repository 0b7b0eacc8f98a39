from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Self

from django.db import models
from django.db.models import F, Q

SCOPES: Final = ("team", "client", "key", "user", "alias", "provider")
"""What a quota can be on."""


def one_of(names: Sequence[str]) -> Q:
    """Exactly one of the columns is set."""
    found = Q()
    for chosen in names:
        found |= Q(**{f"{name}__isnull": name != chosen for name in names})
    return found


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
    """A ceiling on use in a sliding window, or at one time. On a team, a client or a key, on what
    a person's tokens use, on a model whoever asks for it, or on what a provider is sent."""

    class Unit(models.TextChoices):
        REQUESTS = "requests", "Requests"
        TOKENS = "tokens", "Tokens"
        INPUT_TOKENS = "input_tokens", "Input tokens"
        OUTPUT_TOKENS = "output_tokens", "Output tokens"
        CONCURRENCY = "concurrency", "Concurrent requests"

    user = models.ForeignKey(
        "accounts.User", models.CASCADE, null=True, blank=True, related_name="quotas"
    )
    alias = models.ForeignKey(
        "providers.Alias", models.CASCADE, null=True, blank=True, related_name="quotas"
    )
    provider = models.ForeignKey(
        "providers.Provider", models.CASCADE, null=True, blank=True, related_name="quotas"
    )
    unit = models.CharField(max_length=16, choices=Unit)
    window_s = models.PositiveIntegerField(
        "window (seconds)",
        default=60,
        help_text="Length of the sliding window in seconds. Concurrency has none: keep 1.",
    )
    ceiling = models.PositiveBigIntegerField(help_text="A request that would pass this is refused.")
    observes = models.BooleanField(
        "only observe",
        default=False,
        db_default=False,
        help_text="Refuse nothing: only count what would have been refused.",
    )
    is_active = models.BooleanField("active", default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=one_of(SCOPES), name="quota_one_target"),
            models.CheckConstraint(condition=Q(ceiling__gt=0), name="quota_ceiling_positive"),
            models.CheckConstraint(
                condition=Q(window_s__gte=1, window_s__lte=31 * 86400), name="quota_window_bound"
            ),
            models.UniqueConstraint(fields=["team", "unit", "window_s"], name="quota_team_once"),
            models.UniqueConstraint(
                fields=["client", "unit", "window_s"], name="quota_client_once"
            ),
            models.UniqueConstraint(fields=["key", "unit", "window_s"], name="quota_key_once"),
            *(
                models.UniqueConstraint(
                    fields=[scope, "unit", "window_s"],
                    condition=Q(**{f"{scope}__isnull": False}),
                    name=f"quota_{scope}_once",
                )
                for scope in ("user", "alias", "provider")
            ),
        ]

    def __str__(self) -> str:
        if self.unit == self.Unit.CONCURRENCY:
            return f"{self.scope}: {self.ceiling} at a time"
        unit = self.get_unit_display().lower()
        return f"{self.scope}: {self.ceiling} {unit} per {self.window_s} s"

    @property
    def scope(self) -> object:
        return next(row for name in SCOPES if (row := getattr(self, name)) is not None)

    @property
    def kind(self) -> str:
        """What the quota is on: one of SCOPES."""
        return next(name for name in SCOPES if getattr(self, f"{name}_id") is not None)

    @property
    def team_id_of(self) -> int | None:
        """The team whose people see it; None: the whole installation's."""
        if self.key is not None:
            return self.key.client.team_id
        return self.client.team_id if self.client is not None else self.team_id


class QuotaOverrideQuerySet(models.QuerySet["QuotaOverride"]):
    def to_come(self, at: datetime) -> Self:
        """Those that hold at `at` or later."""
        return self.filter(ends_at__gt=at)


class QuotaOverride(models.Model):
    """Another ceiling of a quota for a while. It ends by itself."""

    quota = models.ForeignKey(Quota, models.CASCADE, related_name="overrides")
    ceiling = models.PositiveBigIntegerField(help_text="Instead of the quota's own, meanwhile.")
    starts_at = models.DateTimeField("from")
    ends_at = models.DateTimeField("until", db_index=True)
    reason = models.CharField(max_length=200)
    author = models.ForeignKey(
        "accounts.User", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    author_name = models.CharField("by", max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = QuotaOverrideQuerySet.as_manager()

    class Meta:
        verbose_name = "temporary ceiling"
        ordering = ["-starts_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ceiling__gt=0), name="quota_override_ceiling_positive"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="quota_override_ends_after_start"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="quota_override_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.ceiling} from {self.starts_at:%F %H:%M} until {self.ends_at:%F %H:%M}"

    def is_on(self, at: datetime) -> bool:
        return self.starts_at <= at < self.ends_at


class QuotaHour(models.Model):
    """What one quota refused, or would have, in one hour. Kept when the quota goes."""

    quota_id = models.BigIntegerField("quota id")
    hour = models.DateTimeField()
    refused = models.PositiveBigIntegerField(default=0)
    observed = models.PositiveBigIntegerField("would have refused", default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["quota_id", "hour"], name="quota_hour_once"),
        ]
        indexes = [models.Index(fields=["hour"], name="quota_hour_recent")]

    def __str__(self) -> str:
        return f"quota {self.quota_id} in the hour of {self.hour:%Y-%m-%d %H:%M}"
