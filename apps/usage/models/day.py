from __future__ import annotations

from django.db import models

from apps.usage.models.rollup import Sums


class SummedDay(models.Model):
    """A UTC day that is summed up in DayRollup. Who adds to one of its hours takes this row away
    in the same transaction; a job sums the day up again."""

    day = models.DateTimeField(unique=True, help_text="Its first instant.")
    is_ready = models.BooleanField(default=False, help_text="False: it is being summed up.")
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "summed day"

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"


class DayRollup(Sums):
    """Sums of one UTC day, as those of an hour, and by how requests ended: what reports of long
    spans add up instead of thousands of hours."""

    day = models.DateTimeField()
    team_id = models.BigIntegerField()
    client_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    user_id = models.BigIntegerField(default=0)
    alias = models.CharField(max_length=150)
    deployment_id = models.BigIntegerField(default=0)
    provider_id = models.BigIntegerField(default=0)
    outcome = models.CharField(max_length=16)
    http_status = models.PositiveSmallIntegerField()
    error_code = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = "sum of a day"
        verbose_name_plural = "sums of days"
        indexes = [
            models.Index(fields=["day"], name="day_rollup_day"),
            models.Index(fields=["client_id", "day"], name="day_rollup_client"),
        ]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.alias}"


class TagDay(Sums):
    """Sums of the requests of one UTC day that have a tag: one with two tags is in both."""

    day = models.DateTimeField()
    tag = models.CharField(max_length=97, help_text="key=value")
    team_id = models.BigIntegerField()
    client_id = models.BigIntegerField()
    alias = models.CharField(max_length=150)

    class Meta:
        verbose_name = "sum of a tag and day"
        verbose_name_plural = "sums of tags and days"
        indexes = [models.Index(fields=["day"], name="tag_day_day")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.tag}"


class LatencyDay(models.Model):
    """How many requests of one UTC day took how long: buckets of latency_buckets."""

    day = models.DateTimeField()
    team_id = models.BigIntegerField()
    client_id = models.BigIntegerField()
    alias = models.CharField(max_length=150)
    deployment_id = models.BigIntegerField(default=0)
    kind = models.CharField(max_length=8)
    bucket = models.SmallIntegerField()
    count = models.PositiveBigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["day"], name="latency_day_day")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.alias} {self.kind} {self.bucket}"
