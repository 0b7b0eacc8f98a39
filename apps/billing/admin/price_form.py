"""The form of a price version."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from apps.billing import list_prices, price_parts, pricing
from apps.billing.admin.condition_fields import (
    VolumeFields,
    bands_field,
    tiers_field,
    volume_of,
    windows_field,
)
from apps.billing.admin.money import MoneyForm, UsdField
from apps.billing.models import Price
from apps.providers.models import Deployment
from chatvault.lib import clock
from chatvault.lib.money import format_usd

PER_1M = "per 1M tokens"
MONEY = {
    "input_usd": "input_nano",
    "output_usd": "output_nano",
    "cached_input_usd": "cached_input_nano",
    "cache_write_usd": "cache_write_nano",
    "cache_write_1h_usd": "cache_write_1h_nano",
    "reasoning_usd": "reasoning_nano",
    "audio_input_usd": "audio_input_nano",
    "audio_output_usd": "audio_output_nano",
    "image_input_usd": "image_input_nano",
    "image_output_usd": "image_output_nano",
    "per_request_usd": "per_request_nano",
    "per_second_usd": "per_second_nano",
    "per_image_usd": "per_image_nano",
    "per_search_usd": "per_search_nano",
}
CONDITIONS = ("bands", "service_tiers", "windows")


class ModelNameWidget(UnfoldAdminTextInputWidget):
    """Text, with the models of the deployments as suggestions."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        list_id = f"{name}-suggestions"
        field = super().render(name, value, {**(attrs or {}), "list": list_id}, renderer)
        models = Deployment.objects.order_by("model").values_list("model", flat=True).distinct()
        options = format_html_join("", '<option value="{}"></option>', ((each,) for each in models))
        return format_html("{}<datalist{}>{}</datalist>", field, flatatt({"id": list_id}), options)


def _rate(label: str, help_text: str = "", **options: Any) -> UsdField:
    return UsdField(label=label, help_text=help_text, per=PER_1M, **options)


def _each(label: str, per: str, help_text: str, **options: Any) -> UsdField:
    return UsdField(label=label, help_text=help_text, per=per, required=False, empty=0, **options)


class RateFields(VolumeFields):
    """All that makes a price, without where and when it holds."""

    input_usd = _rate("Input", "Prompt tokens.", example="input")
    output_usd = _rate("Output", "Completion tokens.", example="output")
    cached_input_usd = _rate(
        "Cached input", "Read from the cache. Empty: as input.", required=False
    )
    cache_write_usd = _rate(
        "Cache write", "Written to the cache for 5 minutes. Empty: as input.", required=False
    )
    cache_write_1h_usd = _rate(
        "Cache write, 1 hour", "Empty: as the cache write of 5 minutes.", required=False
    )
    reasoning_usd = _rate("Reasoning", "Reasoning tokens. Empty: as output.", required=False)
    audio_input_usd = _rate("Audio input", "Empty: as input.", required=False)
    audio_output_usd = _rate("Audio output", "Empty: as output.", required=False)
    image_input_usd = _rate("Image input", "Image tokens. Empty: as input.", required=False)
    image_output_usd = _rate("Image output", "Image tokens. Empty: as output.", required=False)
    per_request_usd = _each(
        "Per request",
        "per request",
        "Added to every request, whatever its tokens. Empty: nothing.",
        example="per_request",
    )
    per_second_usd = _each(
        "Per second", "per second", "Of audio or video, to the millisecond. Empty: nothing."
    )
    per_image_usd = _each("Per image", "per image", "For each image made. Empty: nothing.")
    per_search_usd = _each(
        "Per search", "per search", "For each web search; $10 per 1,000 is 0.01. Empty: nothing."
    )
    bands = bands_field()
    service_tiers = tiers_field()
    windows = windows_field()


def lines_of(price: Price) -> str:
    """The conditions of a saved price as the form has them."""
    fields: dict[str, Any] = RateFields.base_fields
    texts = [fields[name].prepare_value(getattr(price, name)) for name in CONDITIONS]
    if price.volume:
        kind = price.volume["kind"].replace("_", " ")
        texts.append(f"Volume, {kind}:\n{fields['volume_steps'].prepare_value(price.volume)}")
    return "\n".join(filter(None, texts))


def price_of(cleaned: dict[str, Any]) -> pricing.Price:
    """A price as a valid form has it."""
    rates = {attribute.removesuffix("_nano"): cleaned[name] for name, attribute in MONEY.items()}
    conditions = price_parts.conditions_of(*(cleaned[name] for name in CONDITIONS))
    return pricing.Price(id=0, model="", conditions=conditions, **rates)


class PriceForm(MoneyForm, RateFields):
    """What is saved is a version: see PriceAdmin."""

    money = MONEY
    confirmed = forms.BooleanField(
        label="This price is right, although the catalogue says otherwise",
        required=False,
        widget=forms.HiddenInput,
    )

    class Meta:
        model = Price
        fields = ("book", "model", "deployment", "valid_from", "valid_to")
        widgets = {"model": ModelNameWidget}
        help_texts = {
            "book": "The list that the price belongs to.",
            "deployment": "Only where this deployment serves the model; it comes before the "
            "model's price. Empty: whichever serves it.",
            "valid_from": "Empty: from now on. A price of this model that holds then ends there.",
            "valid_to": "Empty: until further notice.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "valid_from" in self.fields:
            self.fields["valid_from"].required = False
            self.fields["valid_from"].initial = None
        if self.instance.pk:
            for name in CONDITIONS:
                self.initial.setdefault(name, getattr(self.instance, name))
            if self.instance.volume:
                self.initial.setdefault("volume_kind", self.instance.volume["kind"])
                self.initial.setdefault("volume_steps", self.instance.volume)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        now = clock.now()
        is_new = self.instance.pk is None
        start = (cleaned.get("valid_from") or now) if is_new else self.instance.valid_from
        book = cleaned.get("book") if is_new else self.instance.book
        model = cleaned.get("model") if is_new else self.instance.model
        place = cleaned.get("deployment") if is_new else self.instance.deployment_id
        for name in CONDITIONS:
            if name in cleaned:
                setattr(self.instance, name, cleaned[name])
        self.instance.volume = volume_of(cleaned)
        if is_new and place is not None and model and place.model != model:
            self.add_error("deployment", f"It serves {place.model}, not {model}.")
        if is_new and start < now and "valid_from" not in self.errors:
            self.add_error("valid_from", "This has passed. Leave it empty to begin now.")
        if book is not None and model:
            versions = book.prices.filter(model=model, deployment=place)
            self._check_period(cleaned, versions, start, now)
        if model:
            self._check_catalogue(cleaned, model)
        return {**cleaned, "valid_from": start}

    def _check_period(
        self, cleaned: dict[str, Any], versions: Any, start: datetime, now: datetime
    ) -> None:
        others = versions.exclude(pk=self.instance.pk)
        if others.filter(valid_from=start).exists():
            self.add_error("valid_from", "A price of this model begins at this moment already.")
        end = cleaned.get("valid_to")
        if end is not None and end <= max(start, now):
            self.add_error("valid_to", "Choose a moment that is still to come and after the start.")
        following = others.filter(valid_from__gt=start).order_by("valid_from").first()
        if following is None:
            return
        if end is None:
            cleaned["valid_to"] = following.valid_from
        elif end > following.valid_from:
            self.add_error(
                "valid_to",
                f"The next price of this model begins at {following.valid_from:%Y-%m-%d %H:%M} UTC;"
                " end by then, or leave this empty.",
            )

    def _check_catalogue(self, cleaned: dict[str, Any], model: str) -> None:
        """A slip of some zeros is asked about, not refused."""
        listed = list_prices.list_rates(model, list_prices.families_of(model))
        if listed is None or cleaned.get("confirmed"):
            return
        for name, attribute in MONEY.items():
            nano, usual = cleaned.get(name), listed.get(attribute)
            if not (doubt := list_prices.doubt(attribute, nano, usual)):
                continue
            per = "each" if attribute.startswith("per_") else PER_1M
            self.add_error(
                name,
                f"This is {doubt} the list price of {format_usd(usual or 0)} {per}. "
                "If it is right, tick the box at the end of the form and save again.",
            )
            self.fields["confirmed"].widget = UnfoldBooleanWidget()

    def _get_validation_exclusions(self) -> set[str]:
        """Which versions there may be is checked above, in words."""
        return super()._get_validation_exclusions() | {"book"}  # type: ignore[misc]
