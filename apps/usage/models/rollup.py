from __future__ import annotations

from django.db import models


class HourlyRollup(models.Model):
    """Sums of one hour by everything that reports group by; derived from the request rows."""

    hour = models.DateTimeField()
    team_id = models.BigIntegerField()
    client_id = models.BigIntegerField()
    key_id = models.BigIntegerField()
    alias = models.CharField(max_length=150)
    deployment_id = models.BigIntegerField(default=0)
    requests = models.PositiveBigIntegerField(default=0)
    errors = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cached_input_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    cost_nano = models.BigIntegerField(default=0)
    charged_nano = models.BigIntegerField(default=0)
    latency_ms_sum = models.PositiveBigIntegerField(default=0)
    first_token_ms_sum = models.PositiveBigIntegerField(default=0)
    first_token_count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "hour",
                    "team_id",
                    "client_id",
                    "key_id",
                    "alias",
                    "deployment_id",
                ],
                name="rollup_unique",
            )
        ]
        indexes = [models.Index(fields=["hour"], name="rollup_hour")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.alias}"
