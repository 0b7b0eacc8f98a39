from __future__ import annotations

from django.db import models

from apps.usage.models.rollup import Sums


class SummedDay(models.Model):
    """A UTC day that is summed up in DayRollup. Who adds to one of its hours takes this row away
    in the same transaction; a job sums the day up again."""

    day = models.DateTimeField(unique=True, help_text="Its first instant.")
    is_ready = models.BooleanField(default=False, help_text="False: it is being summed up.")
    form = models.PositiveSmallIntegerField(
        db_default=1, help_text="Which tables it is in: those of another version are made anew."
    )
    made_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "summed day"

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"


class DaySums(Sums):
    """Those of a whole day hold what was adjusted, too: it is known by then, or makes them anew."""

    adjusted_cost_nano = models.BigIntegerField(db_default=0)
    adjusted_charged_nano = models.BigIntegerField(db_default=0)

    class Meta:
        abstract = True


class DayRollup(DaySums):
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


class TagDay(DaySums):
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


class View(models.Model):
    """A row of a view: its name, when it is of, and what views tell apart; what this one does not
    is 0 or empty. See `reports.views`."""

    view = models.CharField(max_length=16)
    start = models.DateTimeField(help_text="Of the day or the hour.")
    team_id = models.BigIntegerField(db_default=0)
    client_id = models.BigIntegerField(db_default=0)
    key_id = models.BigIntegerField(db_default=0)
    user_id = models.BigIntegerField(db_default=0)
    alias = models.CharField(max_length=150, db_default="")
    deployment_id = models.BigIntegerField(db_default=0)
    provider_id = models.BigIntegerField(db_default=0)
    outcome = models.CharField(max_length=16, db_default="")
    http_status = models.PositiveSmallIntegerField(db_default=0)
    error_code = models.CharField(max_length=64, db_default="")

    class Meta:
        abstract = True


class SumView(DaySums, View):
    """Sums of one UTC day or hour by a few of the things that reports tell apart."""

    tag = models.CharField(max_length=97, db_default="", help_text="key=value")

    class Meta:
        verbose_name = "view of sums"
        verbose_name_plural = "views of sums"
        indexes = [models.Index(fields=["view", "start"], name="sum_view_view_start")]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H} by {self.view}"


class LatencyView(View):
    """How many requests of one UTC day or hour took how long, packed into one row for each group
    of a view: see `latency_buckets.Histogram`."""

    kind = models.CharField(max_length=8)
    lowest = models.PositiveSmallIntegerField(help_text="The bucket of the first count.")
    counts = models.BinaryField(help_text="Six bytes for each bucket, the lowest byte first.")

    class Meta:
        indexes = [models.Index(fields=["view", "start"], name="latency_view_view_start")]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H} {self.alias} {self.kind}"
