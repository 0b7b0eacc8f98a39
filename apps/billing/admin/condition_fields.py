"""Form fields for the conditions of prices: lines of text in the form, JSON in the row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from apps.billing import price_fields, price_text
from apps.configuration.fields import Field
from apps.configuration.problems import Wrong

BANDS_HELP: Final = (
    "One band a line: “above 200000: input 2.50, output 15, cached input 0.25”. Above that many "
    "prompt tokens, cached ones included, the whole request has these rates. Rates that a line "
    "does not name stay as above. In USD per 1M tokens."
)
TIERS_HELP: Final = (
    "One tier a line, by the name that the provider answers with: “batch: 50%” or “priority: input "
    "2.25, output 18”, and with a band “priority above 200000: input 4.50, output 27”. The "
    "percentage is what is paid for tokens; 50% is half."
)
WINDOWS_HELP: Final = (
    "One part of the day a line, in UTC: “16:30-00:30: 50%”, or with rates. A request counts by "
    "the minute in which it was admitted."
)
STEPS_HELP: Final = (
    "One step a line: “above 1000000000: 90%”, or with the rates of input and output. Tokens in "
    "and out of one client on this model in one calendar month; what was charged too much is given "
    "back at its end."
)
OVERRIDES_HELP: Final = (
    "One model a line: “gpt-4o-mini: input 0.20, output 0.80”, in USD per 1M tokens, in place of "
    "the book's price and the mark-up. Conditions stand behind a bar: “gpt-4o-mini | batch: 50%”."
)


class LinesField(forms.CharField):
    """`read` and `write` are text and a document's value; `field` is a document's and a row's."""

    def __init__(
        self,
        *,
        field: Field,
        read: Callable[[str], Any],
        write: Callable[[Any], str],
        rows: int = 3,
        **options: Any,
    ) -> None:
        self.parts, self.read, self.write = field, read, write
        attrs = {"rows": rows, "spellcheck": "false", "autocomplete": "off", "class": "cv-lines"}
        options.setdefault("widget", UnfoldAdminTextareaWidget(attrs=attrs))
        super().__init__(required=False, max_length=20_000, **options)

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, str) else self.text_of(value)

    def text_of(self, stored: Any) -> str:
        shown = self.parts.write(stored)
        return self.write(shown) if shown else ""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        try:
            return self.parts.read(self.read(text))
        except price_text.LineWrong as wrong:
            raise ValidationError(f"{wrong.reason} {wrong.hint}".strip()) from None
        except Wrong as wrong:  # its hint is for those who write documents
            raise ValidationError(wrong.reason) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(super().has_changed(self.prepare_value(initial), data))


def bands_field() -> LinesField:
    return LinesField(
        label="Bands by length of the prompt",
        help_text=BANDS_HELP,
        field=price_fields.Bands(name="bands"),
        read=price_text.read_bands,
        write=price_text.write_bands,
    )


def tiers_field() -> LinesField:
    return LinesField(
        label="Service tiers",
        help_text=TIERS_HELP,
        field=price_fields.ServiceTiers(name="service_tiers"),
        read=price_text.read_tiers,
        write=price_text.write_tiers,
        rows=4,
    )


def windows_field() -> LinesField:
    return LinesField(
        label="Hours of the day",
        help_text=WINDOWS_HELP,
        field=price_fields.Windows(name="windows"),
        read=price_text.read_windows,
        write=price_text.write_windows,
        rows=2,
    )


def overrides_field() -> LinesField:
    return LinesField(
        label="Fixed prices",
        help_text=OVERRIDES_HELP,
        field=price_fields.Overrides(name="overrides"),
        read=price_text.read_overrides,
        write=price_text.write_overrides,
        rows=5,
    )


class _Steps(price_fields.Volume):
    """A schedule by its steps alone; its kind is a field of its own."""

    kind: str = "graduated"

    def stored(self, value: Any) -> Any:
        return super().stored({"kind": self.kind, "steps": value})

    def shown(self, stored: Any) -> Any:
        return super().shown(stored)["steps"]


KINDS: Final = (
    ("graduated", "Graduated: each step is for the tokens above it"),
    ("all_units", "All units: the step reached is for all tokens of the month"),
)


class VolumeFields(forms.Form):
    """A form's two fields for a schedule; `volume_of` puts them together."""

    volume_kind = forms.ChoiceField(
        label="Volume",
        choices=KINDS,
        required=False,
        widget=UnfoldAdminSelectWidget(),
        help_text="How the steps are read; it matters only where there are steps.",
    )
    volume_steps = LinesField(
        label="Volume steps",
        help_text=STEPS_HELP,
        field=_Steps(name="volume"),
        read=price_text.read_steps,
        write=price_text.write_bands,
    )


def volume_of(cleaned: dict[str, Any]) -> Any:
    """The row's schedule; None where there are no steps."""
    steps = cleaned.get("volume_steps")
    return steps and {**steps, "kind": cleaned.get("volume_kind") or "graduated"}
