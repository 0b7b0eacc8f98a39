from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Self

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import F, Q, Value

from apps.billing.limits.periods import LONGEST_DAYS, period_text

from .limits import SCOPES, Scoped, one_of

BUDGET_SCOPES: Final = (*SCOPES, "tag")
"""What a budget can be on. A tag is the text `key=value`."""

_SHAPE: Final = ("period", "length_days", "starts_on", "time_zone")
_ONCE: Final = ("period", "length_days", "time_zone")
_ON_ROWS: Final = tuple(f"{name}_id" for name in SCOPES)


def _one_target() -> Q:
    on_tag = Q(**{f"{name}__isnull": True for name in SCOPES}) & ~Q(tag="")
    return (one_of(SCOPES) & Q(tag="")) | on_tag


class Budget(Scoped):
    """The most that a scope may spend in a period. What happens on the way is said by stages;
    without any, requests that could pass the amount are refused."""

    class Period(models.TextChoices):
        DAY = "day", "Day"
        WEEK = "week", "Week (from Monday)"
        MONTH = "month", "Calendar month"
        QUARTER = "quarter", "Quarter"
        CUSTOM = "custom", "A number of days, one after the other"
        ROLLING = "rolling", "The last days, rolling"
        TOTAL = "total", "In all"

    user = models.ForeignKey(
        "accounts.User", models.CASCADE, null=True, blank=True, related_name="budgets"
    )
    alias = models.ForeignKey(
        "providers.Alias", models.CASCADE, null=True, blank=True, related_name="budgets"
    )
    provider = models.ForeignKey(
        "providers.Provider", models.CASCADE, null=True, blank=True, related_name="budgets"
    )
    tag = models.CharField(max_length=100, blank=True, default="", db_default=Value(""))
    amount_nano = models.PositiveBigIntegerField(help_text="In nano-USD.")
    period = models.CharField(max_length=8, choices=Period, default=Period.MONTH)
    length_days = models.PositiveSmallIntegerField(
        "length (days)",
        default=0,
        db_default=Value(0),
        blank=True,
        validators=[MaxValueValidator(LONGEST_DAYS)],
    )
    starts_on = models.DateField("first day", null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC", db_default=Value("UTC"))
    rolls_over = models.BooleanField(
        "what is left rolls over", default=False, db_default=Value(False)
    )
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=_one_target(), name="budget_one_target"),
            *(
                models.UniqueConstraint(
                    fields=[scope, *_ONCE],
                    condition=Q(**{f"{scope}__isnull": False}),
                    name=f"budget_{scope}_once",
                )
                for scope in SCOPES
            ),
            models.UniqueConstraint(
                fields=["tag", *_ONCE],
                condition=~Q(tag=""),
                name="budget_tag_once",
            ),
            models.CheckConstraint(
                condition=Q(period__in=("custom", "rolling"), length_days__gte=1)
                | (~Q(period__in=("custom", "rolling")) & Q(length_days=0)),
                name="budget_length_where_needed",
            ),
            models.CheckConstraint(
                condition=Q(period="custom", starts_on__isnull=False)
                | (~Q(period="custom") & Q(starts_on__isnull=True)),
                name="budget_first_day_where_needed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope}: per {self.shape}"

    @property
    def scope(self) -> object:
        """What it is on: a row, or the text of a tag."""
        rows = (getattr(self, name) for name in SCOPES if getattr(self, f"{name}_id") is not None)
        return next(rows, self.tag)

    @property
    def kind(self) -> str:
        """One of BUDGET_SCOPES."""
        for name in SCOPES:
            if getattr(self, f"{name}_id") is not None:
                return name
        return "tag"

    @property
    def shape(self) -> str:
        """The period as limits know it: see `limits.periods`."""
        return period_text(
            self.period,
            days=self.length_days,
            starts_on=self.starts_on,
            zone=self.time_zone,
        )

    @property
    def team_id_of(self) -> int | None:
        """The team whose people see it; None: the whole installation's."""
        if self.key is not None:
            return self.key.client.team_id
        return self.client.team_id if self.client is not None else self.team_id

    def clean(self) -> None:
        """Say in words what the database would refuse."""
        period = self.period
        if period not in ("custom", "rolling"):
            self.length_days = 0
        if period != "custom":
            self.starts_on = None
        if period in ("rolling", "total"):
            self.time_zone = "UTC"
        if period in ("custom", "rolling") and not self.length_days:
            raise ValidationError({"length_days": f"Say how many days: 1 to {LONGEST_DAYS}."})
        if period == "custom" and self.starts_on is None:
            raise ValidationError({"starts_on": "Say on which day it begins."})
        if period in ("rolling", "total") and self.rolls_over:
            message = "Nothing rolls over here: such a period never begins anew."
            raise ValidationError({"rolls_over": message})
        if self.length_days and not 1 <= self.length_days <= LONGEST_DAYS:
            raise ValidationError({"length_days": f"From 1 to {LONGEST_DAYS} days."})
        check_tag(self.tag)
        try:
            self.shape  # noqa: B018 – it raises
        except ValueError as error:
            raise ValidationError({"time_zone": f"{str(error).capitalize()}."}) from None

    @transaction.atomic
    def save(self, *args: Any, **options: Any) -> None:
        """With another scope or period the running sums no longer fit: they are dropped, and
        come again from the ledger."""
        fields = (*_ON_ROWS, "tag", *_SHAPE)
        before = type(self)._default_manager.filter(pk=self.pk).values_list(*fields).first()
        super().save(*args, **options)
        if before is not None and before != tuple(getattr(self, name) for name in fields):
            BudgetWindow._default_manager.filter(budget_id=self.pk).delete()


def check_tag(tag: str) -> None:
    """Raises ValidationError for a tag that no request can have."""
    key, equals, value = tag.partition("=")
    is_fine = 0 < len(key) <= 32 and 0 < len(value) <= 64 and value.isprintable()
    if tag and not (equals and is_fine and set(key) <= _IN_KEYS):
        message = (
            "Write key=value: the key in small letters, digits, dot, dash and underscore (at most "
            "32), the value at most 64 characters."
        )
        raise ValidationError({"tag": message})


_IN_KEYS: Final = set("abcdefghijklmnopqrstuvwxyz0123456789_.-")


class BudgetStage(models.Model):
    """What happens once a budget has used a part of its amount. A budget with stages of which
    none refuses is a soft one: it refuses nothing."""

    class Action(models.TextChoices):
        OBSERVE = "observe", "Only count"
        WARN = "warn", "Warn in a header"
        THROTTLE = "throttle", "Slow down"
        DEGRADE = "degrade", "Serve by another model"
        REFUSE = "refuse", "Refuse"

    budget = models.ForeignKey(Budget, models.CASCADE, related_name="stages")
    at_percent = models.PositiveSmallIntegerField(
        "from (% of the amount)", validators=[MinValueValidator(1), MaxValueValidator(1000)]
    )
    action = models.CharField(max_length=8, choices=Action)
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)]
    )
    alias = models.ForeignKey(
        "providers.Alias", models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        verbose_name = "stage"
        ordering = ["at_percent", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["budget", "action"], name="budget_stage_once"),
            models.CheckConstraint(
                condition=Q(at_percent__gte=1, at_percent__lte=1000), name="budget_stage_percent"
            ),
            models.CheckConstraint(
                condition=Q(action="throttle", requests_per_minute__gte=1)
                | (~Q(action="throttle") & Q(requests_per_minute__isnull=True)),
                name="budget_stage_pace",
            ),
            models.CheckConstraint(
                condition=Q(action="degrade", alias__isnull=False)
                | (~Q(action="degrade") & Q(alias__isnull=True)),
                name="budget_stage_alias",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action} at {self.at_percent} %"

    def clean(self) -> None:
        is_pace, is_alias = self.action == "throttle", self.action == "degrade"
        if is_pace != bool(self.requests_per_minute):
            message = "Say how many." if is_pace else "Only of a stage that slows down."
            raise ValidationError({"requests_per_minute": message})
        if is_alias != (self.alias_id is not None):
            message = "Say which model." if is_alias else "Only of a stage with another model."
            raise ValidationError({"alias": message})


OF_PROVIDERS: Final = (BudgetStage.Action.OBSERVE, BudgetStage.Action.REFUSE)
STAGES_OF_PROVIDERS: Final = (
    "A provider has no caller who could be warned, slowed down or served otherwise: its budget can "
    "observe and refuse."
)


class BudgetRaiseQuerySet(models.QuerySet["BudgetRaise"]):
    def to_come(self, at: datetime) -> Self:
        """Those that hold at `at` or later."""
        return self.filter(state=BudgetRaise.State.APPROVED, ends_at__gt=at)


class BudgetRaise(models.Model):
    """More money for a budget for a while: asked for, then approved by somebody else."""

    class State(models.TextChoices):
        ASKED = "asked", "Asked for"
        APPROVED = "approved", "Approved"
        DECLINED = "declined", "Declined"
        ENDED = "ended", "Ended early"

    budget = models.ForeignKey(Budget, models.CASCADE, related_name="raises")
    extra_nano = models.PositiveBigIntegerField(help_text="In nano-USD, beside the amount.")
    starts_at = models.DateTimeField("from")
    ends_at = models.DateTimeField("until", db_index=True)
    reason = models.CharField(max_length=200)
    author = models.ForeignKey(
        "accounts.User", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    author_name = models.CharField("asked by", max_length=200)
    approver_name = models.CharField("decided by", max_length=200, blank=True, default="")
    state = models.CharField(max_length=8, choices=State, default=State.ASKED)
    created_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    objects = BudgetRaiseQuerySet.as_manager()

    class Meta:
        verbose_name = "raise"
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(extra_nano__gt=0), name="budget_raise_positive"),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")), name="budget_raise_ends_after_start"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="budget_raise_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.state}: until {self.ends_at:%F %H:%M}"

    def is_on(self, at: datetime) -> bool:
        return self.state == self.State.APPROVED and self.starts_at <= at < self.ends_at


class BudgetWindow(models.Model):
    """What one budget has spent in one of its periods; derived from the ledger. Of a rolling
    period, in one of its blocks."""

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
