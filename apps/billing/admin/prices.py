"""Price versions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from apps.accounts.admin.pages import VersionedPage
from apps.billing import bill_examples, services, words
from apps.billing.admin.bill_examples import BillExamples, first_error
from apps.billing.admin.money import MoneyMedia, usd_column
from apps.billing.admin.price_form import (
    CONDITIONS,
    MONEY,
    PriceForm,
    RateFields,
    lines_of,
    price_of,
)
from apps.billing.models import Price
from apps.providers.admin.next_step import SaysNext, page_link
from chatvault.lib import clock

RATES_KEPT = (*MONEY.values(), *CONDITIONS, "volume")
STATES = {"current": "success", "to come": "info", "ended": ""}


def state_of(price: Price) -> str:
    now = clock.now()
    if price.valid_from > now:
        return "to come"
    return "current" if price.valid_to is None or price.valid_to > now else "ended"


def live_example(text: str) -> SafeString:
    return format_html(
        '<output class="cv-example" data-cv-example="price">{}</output>'
        '<div class="cv-figures">for 10,000 prompt tokens in and 1,000 completion tokens out</div>',
        text,
    )


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("current", "Current"), ("to-come", "To come"), ("ended", "Ended"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Price]) -> QuerySet[Price]:
        now = clock.now()
        chosen = {
            "current": Q(valid_from__lte=now) & (Q(valid_to=None) | Q(valid_to__gt=now)),
            "to-come": Q(valid_from__gt=now),
            "ended": Q(valid_to__lte=now),
        }
        return queryset.filter(chosen[str(self.value())]) if self.value() in chosen else queryset


@admin.register(Price)
class PriceAdmin(BillExamples, SaysNext, VersionedPage):
    """A price that holds is never rewritten: saving a change ends it and begins another one, so
    what was booked can always be explained. Prices that have ended stay as they are."""

    form = PriceForm
    list_display = (
        "model", "book", "input_usd", "cached_input_usd", "output_usd", "example", "state",
        "valid_from", "valid_to",
    )  # fmt: skip
    list_filter = (StateFilter, ("book", RelatedDropdownFilter))
    list_filter_submit = True
    list_select_related = ("book", "deployment")
    search_fields = ("model", "book__name")
    autocomplete_fields = ("book", "deployment")
    actions = ("end_now",)
    fieldsets = (
        (None, {"fields": ("book", ("model", "deployment"))}),
        (
            "Price in USD per 1,000,000 tokens",
            {"fields": (("input_usd", "output_usd"), "cached_input_usd", "example")},
        ),
        (
            "Other tokens",
            {
                "fields": (
                    ("cache_write_usd", "cache_write_1h_usd"),
                    ("audio_input_usd", "audio_output_usd"),
                    ("image_input_usd", "image_output_usd"),
                    "reasoning_usd",
                )
            },
        ),
        (
            "By the piece, in USD each",
            {
                "fields": (
                    ("per_request_usd", "per_search_usd"),
                    ("per_image_usd", "per_second_usd"),
                )
            },
        ),
        (
            "When other rates hold",
            {"fields": ("bands", "service_tiers", "windows", "volume_kind", "volume_steps")},
        ),
        ("What requests cost", {"fields": ("examples",)}),
        ("When", {"fields": ("valid_from", "valid_to", "confirmed")}),
    )

    for _name, _attribute in MONEY.items():
        _label = _name.removesuffix("_usd").replace("_", " ")
        locals()[_name] = usd_column(_attribute, _label)

    Media = MoneyMedia

    @display(description="10k in / 1k out")
    def example(self, price: Price | None) -> str | SafeString:
        if price is None or price.pk is None:
            return live_example("–")
        if getattr(price, "is_listed", False):
            return words.example_of(price)
        return live_example(words.example_of(price))

    def fill_in(self, rows: Any) -> None:
        for price in rows:
            price.is_listed = True

    @display(description="examples")
    def examples(self, price: Price | None) -> SafeString:
        saved = price.version() if price is not None and price.pk else None
        return self.examples_box(bill_examples.of_price(saved) if saved else [])

    def examples_of(self, request: HttpRequest) -> list[bill_examples.Example]:
        form = RateFields(request.POST)
        if not form.is_valid():
            raise bill_examples.NotYet(first_error(form))
        return bill_examples.of_price(price_of(form.cleaned_data))

    @display(description="state", label=STATES)
    def state(self, price: Price) -> str:
        return state_of(price)

    @display(description="conditions")
    def conditions_text(self, price: Price) -> SafeString:
        lines = (lines_of(price) or "None: all requests have these rates.").splitlines()
        return format_html_join("", '<div class="cv-lines">{}</div>', ((each,) for each in lines))

    def get_fieldsets(self, request: HttpRequest, obj: Price | None = None) -> Any:
        """Who only looks has the conditions as text."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        shown = {"fields": ("conditions_text",)}
        return [
            (name, shown if "bands" in options["fields"] else options)
            for name, options in fieldsets
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        shown = ("example", "examples", "conditions_text")
        return shown if obj is None else (*shown, "book", "model", "deployment", "valid_from")

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        has_ended = obj is not None and state_of(obj) == "ended"
        return not has_ended and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """A price is ended; only one that is still to come can be taken back."""
        is_open = obj is not None and state_of(obj) == "to come"
        return is_open and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        rates = {attribute: getattr(obj, attribute) for attribute in RATES_KEPT}
        end = form.cleaned_data.get("valid_to")
        if not change:
            saved = services.start_price(
                book=obj.book,
                model=obj.model,
                rates=rates,
                valid_from=form.cleaned_data["valid_from"],
                valid_to=end,
                deployment=obj.deployment,
            )
        else:
            saved = self._change(request, Price.objects.get(pk=obj.pk), rates, end)
        obj.pk = saved.pk
        obj.refresh_from_db()

    def _change(self, request: HttpRequest, old: Price, rates: Any, end: Any) -> Price:
        if all(getattr(old, name) == nano for name, nano in rates.items()):
            if old.valid_to != end:
                services.end_prices(prices=[old], at=end)
            return old
        new = services.succeed_price(price=old, rates=rates, valid_to=end, now=clock.now())
        if new.valid_from != old.valid_from:
            messages.info(
                request,
                "The old price has ended and stays as it was; this is the one that follows it.",
            )
        return new

    def next_step(self, request: HttpRequest, obj: Price) -> SafeString:
        return format_html(
            "Next: clients whose tier has the book {} pay this price; let them use the model. {}",
            obj.book,
            page_link("accounts_client_changelist", "Clients"),
        )

    def response_change(self, request: HttpRequest, obj: Price) -> HttpResponse:
        response = super().response_change(request, obj)
        if "_continue" in request.POST:  # the version that was open is not the one to go on with
            return redirect("admin:billing_price_change", obj.pk)
        return response

    @admin.action(description="End now", permissions=["change"])
    def end_now(self, request: HttpRequest, queryset: QuerySet[Price]) -> None:
        now = clock.now()
        open_ended = list(queryset.filter(Q(valid_to=None) | Q(valid_to__gt=now)))
        services.end_prices(prices=open_ended, at=now)
        self.message_user(request, f"{len(open_ended)} prices ended.")
