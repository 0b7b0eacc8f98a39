"""What is asked of whoever imports a bill or rates, issues statements or closes a month."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)
from unfold.widgets import UnfoldBooleanSwitchWidget as Switch

from apps.accounts.models import Client, Team
from apps.invoicing import bills, months
from apps.invoicing.bills.generic import COLUMNS
from apps.invoicing.importing import Terms
from apps.invoicing.models.rates import currency_validator
from apps.providers.models import Provider


class DayInput(UnfoldAdminTextInputWidget):
    """The browser's own calendar: it needs no script."""

    input_type = "date"


def _text(**attrs: str) -> Any:
    return UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", **attrs})


class BillForm(forms.Form):
    provider = forms.ModelChoiceField(
        Provider.objects.order_by("name"),
        empty_label="Choose one",
        widget=UnfoldAdminSelectWidget(),
        help_text="Whose bill it is. It is compared with the requests that this provider served.",
    )
    form = forms.ChoiceField(
        label="Format",
        choices=[(name, title) for name, (title, _) in bills.FORMATS.items()],
        widget=UnfoldAdminSelectWidget(),
    )
    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget(),
        help_text="As the provider gives it; gzip is unpacked. The same file is taken once.",
    )
    starts_on = forms.DateField(
        label="First day",
        required=False,
        widget=DayInput(),
        help_text="Such as 2026-10-01. Earlier lines are kept, and compared with nothing. Empty: "
        "the file's first day.",
    )
    ends_on = forms.DateField(
        label="Last day",
        required=False,
        widget=DayInput(),
        help_text="Such as 2026-10-31. Empty: the file's last day.",
    )
    time_zone = forms.CharField(
        label="Time zone of its days",
        initial="UTC",
        max_length=64,
        widget=_text(),
        help_text="OpenAI, Anthropic, AWS and Azure count days in UTC.",
    )
    currency = forms.CharField(
        required=False,
        max_length=3,
        validators=[currency_validator],
        widget=_text(placeholder="USD"),
        help_text="A line in another one is refused. Empty: the file's own. Other currencies than "
        "USD need exchange rates of the bill's days.",
    )
    columns = forms.CharField(
        label="Columns of another CSV",
        required=False,
        max_length=500,
        widget=_text(placeholder="date=Day, model=SKU, amount=Cost, currency=Currency"),
        help_text=f"Ours = the file's, by commas. Ours are {', '.join(COLUMNS)}; the first three "
        "must be there. Not needed for the other formats.",
    )
    day_order = forms.ChoiceField(
        label="Dates like 01/10/2026",
        choices=[
            ("ymd", "do not occur"), ("dmy", "are day first"), ("mdy", "are month first"),
        ],
        required=False,
        widget=UnfoldAdminSelectWidget(),
        help_text="Of another CSV alone.",
    )  # fmt: skip
    decimal_comma = forms.BooleanField(
        label="1.234,56 is a number",
        required=False,
        widget=Switch(),
        help_text="Of another CSV alone: a comma before the decimals.",
    )

    def clean_time_zone(self) -> str:
        name = str(self.cleaned_data["time_zone"]).strip()
        if name not in available_timezones():
            raise ValidationError("There is no such time zone: write it like Europe/Berlin.")
        return ZoneInfo(name).key

    def clean_columns(self) -> dict[str, str]:
        found = {}
        for pair in filter(
            None, (part.strip() for part in self.cleaned_data["columns"].split(","))
        ):
            ours, is_pair, theirs = (part.strip() for part in pair.partition("="))
            if ours not in COLUMNS or not is_pair or not theirs:
                raise ValidationError(f"{pair!r} is not one of {', '.join(COLUMNS)} = a column.")
            found[ours] = theirs
        return found

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        first, last = cleaned.get("starts_on"), cleaned.get("ends_on")
        if first and last and last < first:
            raise ValidationError({"ends_on": "It must not be before the first day."})
        return cleaned

    @property
    def terms(self) -> Terms:
        given = self.cleaned_data
        return Terms(
            form=given["form"],
            time_zone=given["time_zone"],
            currency=given["currency"],
            starts_on=given["starts_on"],
            ends_on=given["ends_on"],
            mapping=given["columns"],
            day_order=given["day_order"] or "ymd",
            decimal_comma=given["decimal_comma"],
        )


class RatesForm(forms.Form):
    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget(),
        help_text="The ECB's CSV (a date, then a column a currency, in units for one euro), or "
        "columns currency, day, rate with the USD that one unit is worth. All of it, or nothing.",
    )
    source = forms.CharField(
        max_length=100, initial="ECB", widget=_text(), help_text="Kept with each rate."
    )

    def clean_file(self) -> str:
        file = self.cleaned_data["file"]
        if file.size > 4 * 2**20:
            raise ValidationError("The file is larger than 4 MiB.")
        try:
            return str(file.read().decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise ValidationError("The file is not text in UTF-8.") from None


class MonthForm(forms.Form):
    month = forms.CharField(max_length=7, widget=_text(placeholder="2026-10"))

    def clean_month(self) -> months.Month:
        try:
            return months.read(self.cleaned_data["month"])
        except ValueError as wrong:
            raise ValidationError(str(wrong)) from None


class IssueForm(MonthForm):
    team = forms.ModelChoiceField(
        Team.objects.order_by("name"),
        required=False,
        empty_label="All teams",
        widget=UnfoldAdminSelectWidget(),
        help_text="All: every team that used something, in a job with progress.",
    )
    client = forms.ModelChoiceField(
        Client.objects.select_related("team").order_by("name"),
        required=False,
        empty_label="–",
        widget=UnfoldAdminSelectWidget(),
        help_text="A statement of this client alone, in a series of its own. Choose its team, too.",
    )
    currency = forms.CharField(
        max_length=3,
        initial="USD",
        validators=[currency_validator],
        widget=_text(),
        help_text="The total is also shown in it, by the rate of the month's last day.",
    )
    is_credit_note = forms.BooleanField(
        label="A credit note instead",
        required=False,
        widget=Switch(),
        help_text="Of what was corrected since the team's last statement; the month does not "
        "matter then. The next statement would do it by itself.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        client, team = cleaned.get("client"), cleaned.get("team")
        if client is not None and client.team != team:
            raise ValidationError({"client": "It does not belong to the team that is chosen."})
        if cleaned.get("is_credit_note") and team is None:
            raise ValidationError({"team": "A credit note is of one team."})
        return cleaned
