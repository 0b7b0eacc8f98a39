from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

currency_validator = RegexValidator(r"^[A-Z]{3}$", "Three capital letters, such as EUR.")


class ExchangeRate(models.Model):
    """What one unit of a currency was worth in USD on a day."""

    PLACES = 12

    currency = models.CharField(
        max_length=3, validators=[currency_validator], help_text="Such as EUR."
    )
    day = models.DateField(help_text="The day that the rate is of.")
    rate = models.DecimalField(
        "USD for 1",
        max_digits=24,
        decimal_places=PLACES,
        help_text="How many USD one unit is worth, such as 1.0854 for the euro.",
    )
    source = models.CharField(
        max_length=100, blank=True, help_text="Where it is from, such as ECB."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-day", "currency"]
        constraints = [
            models.UniqueConstraint(fields=["currency", "day"], name="exchange_rate_unique"),
            models.CheckConstraint(condition=Q(rate__gt=0), name="exchange_rate_positive"),
            models.CheckConstraint(
                condition=~Q(currency="USD"), name="exchange_rate_not_of_the_dollar"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.currency} on {self.day:%Y-%m-%d}: {self.rate.normalize():f} USD"
