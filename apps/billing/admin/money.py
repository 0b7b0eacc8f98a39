"""Amounts in forms: people write USD, rows hold nano-USD, and nothing is rounded between."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from chatvault.lib.money import format_usd, nano_from_usd, usd_from_nano


class MoneyMedia:
    """For `Media` of admins that show bars, examples or amounts."""

    css: ClassVar[dict[str, tuple[str, ...]]] = {"all": ("billing/money.css",)}
    js = ("billing/examples.js", "billing/bills.js")


class UsdField(forms.DecimalField):
    """USD with up to 9 places; `clean` gives nano-USD, and `empty` for an empty field."""

    def __init__(
        self, *, per: str = "", example: str = "", empty: int | None = None, **options: Any
    ) -> None:
        self.empty = empty
        attrs = {"inputmode": "decimal", "autocomplete": "off", "prefix": "$", "class": "cv-usd"}
        if per:
            attrs |= {"suffix": per, "class": "cv-usd cv-unit"}
        if example:
            attrs["data-cv-usd"] = example
        options.setdefault("min_value", Decimal(0))
        options.setdefault("widget", UnfoldAdminTextInputWidget(attrs=attrs))
        super().__init__(max_digits=19, decimal_places=9, **options)

    def prepare_value(self, value: Any) -> Any:
        return f"{value.normalize():f}" if isinstance(value, Decimal) else value

    def widget_attrs(self, widget: Any) -> dict[str, Any]:
        return {}

    def clean(self, value: Any) -> Any:
        amount = super().clean(value)
        if amount is None:
            return self.empty
        try:
            return nano_from_usd(amount)
        except ValueError as error:
            reason = str(error)
            raise ValidationError(f"{reason[:1].upper()}{reason[1:]}.") from None


class MoneyForm(forms.ModelForm):
    """`money` maps the form's USD fields to the model's attributes in nano-USD."""

    money: ClassVar[dict[str, str]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, attribute in self.money.items():
            nano = getattr(self.instance, attribute)
            if self.instance.pk and nano is not None:
                self.initial.setdefault(name, usd_from_nano(nano))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name, attribute in self.money.items():
            if name in cleaned:
                setattr(self.instance, attribute, cleaned[name])
        return cleaned


def usd_column(attribute: str, description: str) -> Callable[..., str]:
    """A method of an admin that shows an amount of the row."""

    @display(description=description, ordering=attribute)
    def show(admin: Any, row: Any) -> str:
        nano = getattr(row, attribute, None)
        return "–" if nano is None else format_usd(nano)

    return show
