from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from apps.invoicing.models.rates import currency_validator


class Bill(models.Model):
    """What a provider says that its models cost. Its lines are compared with our cost once it is
    accepted; until then it is a preview."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waits to be read"
        REFUSED = "refused", "Cannot be taken"
        READ = "read", "Read: look at it, then accept it"
        COUNTED = "counted", "Accepted"
        DISCARDED = "discarded", "Discarded"

    provider = models.ForeignKey(
        "providers.Provider", models.SET_NULL, null=True, related_name="bills"
    )
    provider_name = models.CharField("provider", max_length=100)
    form = models.CharField("format", max_length=16)
    file_name = models.CharField("file", max_length=200)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the file.")
    file_bytes = models.PositiveBigIntegerField()
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="In which the provider counts days."
    )
    currency = models.CharField(
        max_length=3, blank=True, validators=[currency_validator],
        help_text="Empty: the file's own.",
    )  # fmt: skip
    starts_on = models.DateField("from", null=True, help_text="Its first day.")
    ends_on = models.DateField("to", null=True, help_text="Its last day.")
    mapping = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    problem = models.CharField(max_length=500, blank=True, default="")
    faults = models.JSONField(default=list, blank=True, help_text="Lines that cannot be taken.")
    fault_count = models.PositiveIntegerField(default=0)
    row_count = models.PositiveIntegerField("lines", default=0)
    amount_nano = models.BigIntegerField(default=0, help_text="In the bill's currency, 10⁻⁹.")
    usd_nano = models.BigIntegerField(default=0)
    matched_usd_nano = models.BigIntegerField(default=0, help_text="Of lines that were matched.")
    cost_nano = models.BigIntegerField(default=0, help_text="Ours, when last compared.")
    is_drifting = models.BooleanField("drifts", default=False)
    compared_at = models.DateTimeField(null=True)
    author_name = models.CharField("imported by", max_length=150, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["digest", "provider_name"],
                condition=~Q(state="discarded"),
                name="bill_file_once",
            ),
            models.CheckConstraint(
                condition=Q(starts_on=None) | Q(ends_on=None) | Q(ends_on__gte=F("starts_on")),
                name="bill_days_forward",
            ),
        ]

    def __str__(self) -> str:
        days = f" {self.starts_on:%Y-%m-%d} – {self.ends_on:%Y-%m-%d}" if self.has_days else ""
        return f"{self.provider_name}{days}"

    @property
    def has_days(self) -> bool:
        return self.starts_on is not None and self.ends_on is not None

    @property
    def drift_nano(self) -> int:
        """What the provider wants more than we booked."""
        return self.matched_usd_nano - self.cost_nano


class BillFile(models.Model):
    """The file as it was given, packed: it can be read again."""

    bill = models.OneToOneField(Bill, models.CASCADE, related_name="file")
    content = models.BinaryField()

    def __str__(self) -> str:
        return f"file of bill {self.bill_id}"


class BillLine(models.Model):
    """What a bill says of one model on one day: the sum of the file's lines for it."""

    bill = models.ForeignKey(Bill, models.CASCADE, related_name="lines")
    day = models.DateField()
    billed_model = models.CharField("billed as", max_length=200, blank=True)
    model = models.CharField("our model", max_length=150, blank=True)
    amount_nano = models.BigIntegerField()
    usd_nano = models.BigIntegerField()
    rate_day = models.DateField(null=True, help_text="The day of the exchange rate.")
    quantity = models.DecimalField(max_digits=38, decimal_places=6, null=True)
    rows = models.PositiveIntegerField()
    first_row = models.PositiveIntegerField(help_text="The file's line that it began with.")
    unmatched = models.CharField(
        max_length=100, blank=True, default="", help_text="Why it is compared with nothing."
    )

    class Meta:
        ordering = ["day", "billed_model", "pk"]
        indexes = [models.Index(fields=["bill", "day", "model"], name="bill_line_by_day")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.billed_model or '(no model)'}"


class MatchRule(models.Model):
    """Which of our models a name on a provider's bills means."""

    provider = models.ForeignKey("providers.Provider", models.CASCADE, related_name="match_rules")
    billed_model = models.CharField(
        "billed as",
        max_length=200,
        help_text="The name on the bill; a * at its end stands for any rest. Case does not count.",
    )
    model = models.CharField(
        "our model",
        max_length=150,
        blank=True,
        help_text="The model of deployments of this provider, such as gpt-4o-mini. Empty: what is "
        "billed under this name does not go through ChatVault and is never compared.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["provider", "billed_model"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "billed_model"], name="match_rule_unique")
        ]

    def __str__(self) -> str:
        return f"{self.billed_model} → {self.model or 'not ours'}"


class BillMatch(models.Model):
    """A day and model of an accepted bill beside what the ledger says that it cost."""

    bill = models.ForeignKey(Bill, models.CASCADE, related_name="matches")
    day = models.DateField()
    model = models.CharField(max_length=150)
    billed_nano = models.BigIntegerField(help_text="In nano-USD.")
    cost_nano = models.BigIntegerField(help_text="In nano-USD, with adjustments.")
    requests = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["day", "model"]
        constraints = [
            models.UniqueConstraint(fields=["bill", "day", "model"], name="bill_match_unique")
        ]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.model}"

    @property
    def drift_nano(self) -> int:
        return self.billed_nano - self.cost_nano
