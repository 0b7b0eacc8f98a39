from __future__ import annotations

from typing import Self

from django.db import connection, models
from django.db.models import Q, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast


def _tokens() -> models.PositiveBigIntegerField:
    return models.PositiveBigIntegerField(default=0)


def _count(help_text: str = "") -> models.BigIntegerField:
    """Of a column that came later: no CHECK, for which PostgreSQL would read the whole table."""
    return models.BigIntegerField(default=0, db_default=0, help_text=help_text)


def _text(
    max_length: int, help_text: str = "", verbose_name: str | None = None
) -> models.CharField:
    return models.CharField(
        verbose_name,
        max_length=max_length,
        blank=True,
        default="",
        db_default=Value(""),
        help_text=help_text,
    )


class RequestLogQuerySet(models.QuerySet["RequestLog"]):
    def tagged(self, key: str, value: str) -> Self:
        """Requests that carry this tag. PostgreSQL has an index for it."""
        if connection.vendor == "postgresql":
            return self.filter(tags__contains={key: value})
        tag = Cast(KeyTextTransform(key, "tags"), models.TextField())
        return self.annotate(_tag=tag).filter(_tag=value)


class RequestLog(models.Model):
    """One request and what it used. No prompts and no answers. Names are copied so that the row
    stays readable when the things it names are gone."""

    class Outcome(models.TextChoices):
        OK = "ok", "Answered"
        ERROR = "error", "Failed"
        CANCELLED = "cancelled", "Client hung up"
        INTERRUPTED = "interrupted", "Interrupted"

    class UsageSource(models.TextChoices):
        PROVIDER = "provider", "Told by the provider"
        ESTIMATED = "estimated", "Estimated"
        NONE = "none", "Nothing used"

    class CacheStatus(models.TextChoices):
        HIT = "hit", "Answered by the cache"
        MISS = "miss", "Not in the cache"

    request_id = models.UUIDField(unique=True)
    started_at = models.DateTimeField()
    team_id = models.BigIntegerField("team id")
    client_id = models.BigIntegerField("client id")
    key_id = models.BigIntegerField("key id")
    team_name = models.CharField("team", max_length=100, blank=True)
    client_name = models.CharField("client", max_length=100, blank=True)
    key_name = models.CharField("key", max_length=100, blank=True)
    alias = models.CharField(max_length=150)
    deployment_id = models.BigIntegerField("deployment id", null=True)
    deployment_name = models.CharField("deployment", max_length=150, blank=True)
    provider_name = models.CharField("provider", max_length=100, blank=True)
    operation = models.CharField(max_length=16)
    is_stream = models.BooleanField("stream", default=False)
    outcome = models.CharField(max_length=16, choices=Outcome)
    http_status = models.PositiveSmallIntegerField("status")
    error_code = models.CharField(max_length=64, blank=True)
    usage_source = models.CharField(max_length=16, choices=UsageSource, default=UsageSource.NONE)
    input_tokens = _tokens()
    output_tokens = _tokens()
    cached_input_tokens = _tokens()
    cache_write_tokens = _tokens()
    cache_write_1h_tokens = _tokens()
    reasoning_tokens = _tokens()
    audio_input_tokens = _tokens()
    audio_output_tokens = _tokens()
    cost_nano = models.BigIntegerField(default=0, help_text="At list price, in nano-USD.")
    charged_nano = models.BigIntegerField(default=0, help_text="To the client, in nano-USD.")
    upper_bound_nano = models.BigIntegerField(
        null=True, help_text="The most it can have cost; only for interrupted requests."
    )
    price_id = models.BigIntegerField("price version", null=True)
    tier_id = models.BigIntegerField("tier", null=True)
    revision = models.BigIntegerField(help_text="The configuration revision that served it.")
    latency_ms = models.PositiveIntegerField(null=True)
    first_token_ms = models.PositiveIntegerField("first token (ms)", null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    user_id = models.BigIntegerField(
        "user id", null=True, help_text="The person whose token it was; of a key: nobody's."
    )
    user_name = models.CharField(
        "user", max_length=150, blank=True, default="", db_default=Value("")
    )
    application_id = models.BigIntegerField(
        "application id", null=True, help_text="The OAuth application that held the token."
    )
    provider_id = models.BigIntegerField("provider id", null=True)
    tags = models.JSONField(
        null=True, blank=True, help_text="What the client labelled it with; empty: nothing."
    )
    service_tier = _text(32, "In which of the provider's tiers it was served, where it said so.")
    image_input_tokens = _count()
    image_output_tokens = _count()
    images = _count("Pictures that were made.")
    duration_ms = _count("Of audio or video that is billed by time.")
    searches = _count("Web searches that the provider made for it.")
    terms_id = models.BigIntegerField(
        "tier version", null=True, help_text="The version of the pricing tier at its admission."
    )
    markup_ppm = models.BigIntegerField(
        "mark-up (ppm)", null=True, help_text="Of the tier at its admission, in parts per million."
    )
    error_detail = _text(200, "What failed, for admins: never a provider's or a client's own text.")
    cache_status = models.CharField(
        "cache",
        max_length=8,
        choices=CacheStatus,
        blank=True,
        default="",
        db_default=Value(""),
        help_text="Empty: the cache was not asked.",
    )
    experiment_arm = _text(64, "The variant of an experiment that it took part in.")

    objects = RequestLogQuerySet.as_manager()

    class Meta:
        verbose_name = "request"
        ordering = ["-started_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(cost_nano__gte=0, charged_nano__gte=0), name="request_charge_not_credit"
            )
        ]
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="request_recent"),
            models.Index(fields=["client_id", "-started_at"], name="request_by_client"),
            models.Index(fields=["team_id", "-started_at"], name="request_by_team"),
            models.Index(fields=["key_id", "-started_at"], name="request_by_key"),
            models.Index(fields=["alias", "-started_at"], name="request_by_alias"),
            models.Index(fields=["provider_id", "-started_at"], name="request_by_provider"),
            models.Index(
                fields=["user_id", "-started_at"],
                condition=Q(user_id__isnull=False),
                name="request_by_user",
            ),
            models.Index(
                fields=["http_status", "-started_at"],
                condition=Q(http_status__gte=400),
                name="request_by_status",
            ),
        ]

    def __str__(self) -> str:
        return str(self.request_id)


class Attempt(models.Model):
    """One call to a provider on behalf of a request."""

    request_id = models.UUIDField()
    number = models.PositiveSmallIntegerField()
    deployment_id = models.BigIntegerField("deployment id")
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField(null=True)
    http_status = models.PositiveSmallIntegerField("status", null=True)
    error_code = models.CharField(max_length=64, blank=True)
    provider_id = models.BigIntegerField("provider id", null=True)
    first_byte_ms = models.IntegerField(
        "first byte (ms)", null=True, help_text="From the start of this call; empty: unknown."
    )

    class Meta:
        ordering = ["request_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["request_id", "number"], name="attempt_once")
        ]

    def __str__(self) -> str:
        return f"{self.request_id} #{self.number}"
