from __future__ import annotations

from django.db import models


class Sums(models.Model):
    """What a group of requests adds up to. Parts are included in their whole, as in the rows."""

    requests = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cached_input_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_tokens = models.PositiveBigIntegerField(default=0)
    cache_write_1h_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    audio_input_tokens = models.PositiveBigIntegerField(default=0)
    audio_output_tokens = models.PositiveBigIntegerField(default=0)
    image_input_tokens = models.PositiveBigIntegerField(default=0)
    image_output_tokens = models.PositiveBigIntegerField(default=0)
    images = models.PositiveBigIntegerField(default=0)
    duration_ms = models.PositiveBigIntegerField(default=0)
    searches = models.PositiveBigIntegerField(default=0)
    cost_nano = models.BigIntegerField(default=0)
    charged_nano = models.BigIntegerField(default=0)
    latency_ms_sum = models.PositiveBigIntegerField(default=0)
    latency_count = models.PositiveBigIntegerField(
        default=0, help_text="Requests whose latency is known."
    )
    first_token_ms_sum = models.PositiveBigIntegerField(default=0)
    first_token_count = models.PositiveBigIntegerField(default=0)

    class Meta:
        abstract = True


class HourlyRollup(Sums):
    """Sums of one hour by everything that reports group by; derived from the request rows. An id
    of 0 stands for none."""

    hour = models.DateTimeField()
    team_id = models.BigIntegerField()
    client_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    user_id = models.BigIntegerField(default=0)
    alias = models.CharField(max_length=150)
    deployment_id = models.BigIntegerField(default=0)
    provider_id = models.BigIntegerField(default=0)

    class Meta:
        # usage_hourlyrollup is the table of the version before this one, which went without
        # users and providers; it goes away in a later version.
        db_table = "usage_hoursums"
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "hour",
                    "team_id",
                    "client_id",
                    "key_id",
                    "user_id",
                    "alias",
                    "deployment_id",
                    "provider_id",
                ],
                name="hour_sums_unique",
            )
        ]
        indexes = [models.Index(fields=["team_id", "hour"], name="hour_sums_team")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.alias}"


class TagHour(Sums):
    """Sums of one hour by tag. A request with two tags counts in both: never add tags up."""

    hour = models.DateTimeField()
    tag = models.CharField(max_length=97, help_text="key=value")
    team_id = models.BigIntegerField()
    client_id = models.BigIntegerField()
    alias = models.CharField(max_length=150)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["hour", "tag", "team_id", "client_id", "alias"], name="tag_hour_unique"
            )
        ]
        indexes = [models.Index(fields=["tag", "hour"], name="tag_hour_tag")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.tag}"


class LatencyHour(models.Model):
    """How many requests of one hour took how long: a histogram with the buckets of
    `apps.usage.latency_buckets`, from which percentiles of any group and span come."""

    class Kind(models.TextChoices):
        TOTAL = "total", "Until the last byte"
        FIRST = "first", "Until the first token"

    hour = models.DateTimeField()
    team_id = models.BigIntegerField()
    client_id = models.BigIntegerField()
    alias = models.CharField(max_length=150)
    deployment_id = models.BigIntegerField(default=0)
    kind = models.CharField(max_length=8, choices=Kind)
    bucket = models.PositiveSmallIntegerField()
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "hour",
                    "team_id",
                    "client_id",
                    "alias",
                    "deployment_id",
                    "kind",
                    "bucket",
                ],
                name="latency_hour_unique",
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.alias} {self.kind} {self.bucket}"
