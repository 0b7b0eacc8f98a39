from __future__ import annotations

from django.db import models
from django.db.models import Q, Value


def _tokens() -> models.PositiveBigIntegerField:
    return models.PositiveBigIntegerField(default=0)


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

    class Meta:
        ordering = ["request_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["request_id", "number"], name="attempt_once")
        ]

    def __str__(self) -> str:
        return f"{self.request_id} #{self.number}"
