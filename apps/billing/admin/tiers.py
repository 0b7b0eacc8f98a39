"""Pricing tiers: a book, a mark-up, fixed prices, a minimum, volume; and their versions."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.accounts.admin.pages import VersionedPage
from apps.billing import bill_examples, price_parts, pricing, words
from apps.billing.admin.bill_examples import BillExamples, first_error
from apps.billing.admin.condition_fields import VolumeFields, overrides_field, volume_of
from apps.billing.admin.money import MoneyForm, MoneyMedia, UsdField, usd_column
from apps.billing.models import Price, PricingTier, TierTerms
from apps.billing.models.tiers import PPM_PER_PERCENT
from chatvault.lib import clock
from chatvault.lib.money import format_usd

SAMPLES = 3


class TierFields(VolumeFields):
    """What a tier makes of a book's prices."""

    minimum_usd = UsdField(
        label="Minimum charge",
        help_text="The least that one billed request is charged. Empty: no minimum.",
        per="per request",
        empty=0,
        required=False,
    )
    overrides = overrides_field()


class TierForm(MoneyForm, TierFields):
    """Saving a change begins a version: see PricingTier."""

    money: ClassVar[dict[str, str]] = {"minimum_usd": "minimum_nano"}

    class Meta:
        model = PricingTier
        fields = ("name", "price_book", "markup_percent")
        labels = {"markup_percent": "Mark-up"}
        help_texts = {
            "name": "Short name, as it appears in configuration documents.",
            "price_book": "The list of prices that the mark-up is on.",
            "markup_percent": "Percent added to the list price: 20 charges a fifth more, -10 is a "
            "discount of a tenth, -100 gives it away. Up to 4 decimal places.",
        }
        widgets = {
            "markup_percent": UnfoldAdminTextInputWidget(
                attrs={"inputmode": "decimal", "suffix": "%", "data-cv-percent": "markup"}
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("overrides", self.instance.overrides)
        if self.instance.volume:
            self.initial.setdefault("volume_kind", self.instance.volume["kind"])
            self.initial.setdefault("volume_steps", self.instance.volume)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if "overrides" in cleaned:
            self.instance.overrides = cleaned["overrides"]
        if "volume_steps" in cleaned:
            self.instance.volume = volume_of(cleaned)
        return cleaned


class TypedTier(TierFields):
    """As much of the form as decides what is charged."""

    price_book = forms.IntegerField(label="Price book", min_value=1)
    markup_percent = forms.DecimalField(
        label="Mark-up", max_digits=9, decimal_places=4, min_value=-100
    )


class VersionsOfTier(TabularInline):
    """What the tier was; requests name the version that they were charged by."""

    model = TierTerms
    fields = readonly_fields = ("version", "created_at", "book", "markup", "minimum", "more")
    extra = max_num = 0
    can_delete = False
    hide_title = True
    verbose_name_plural = "versions, the newest first"
    minimum = usd_column("minimum_nano", "minimum")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[TierTerms]:
        return super().get_queryset(request).select_related("book")

    @display(description="version")
    def version(self, terms: TierTerms) -> int:
        return terms.pk

    @display(description="mark-up")
    def markup(self, terms: TierTerms) -> str:
        return words.percent(terms.markup_ppm)

    @display(description="more")
    def more(self, terms: TierTerms) -> str:
        fixed = f"fixed: {', '.join(terms.overrides)}" if terms.overrides else ""
        return "; ".join(filter(None, (fixed, "volume" if terms.volume else ""))) or "–"


@admin.register(PricingTier)
class PricingTierAdmin(BillExamples, VersionedPage):
    """What clients pay. A change begins a version; what was charged stays explained."""

    form = TierForm
    list_display = ("name", "price_book", "markup", "minimum", "fixed", "example", "clients_shown")
    list_filter = (("price_book", RelatedDropdownFilter),)
    list_filter_submit = True
    ordering = ("name",)
    search_fields = ("name", "price_book__name")
    autocomplete_fields = ("price_book",)
    inlines = (VersionsOfTier,)
    falls_with = (TierTerms,)
    fieldsets = (
        (None, {"fields": ("name", "price_book", "markup_percent", "live_example")}),
        ("Beside the mark-up", {"fields": ("minimum_usd", "overrides")}),
        ("What a month gives back", {"fields": ("volume_kind", "volume_steps")}),
        ("What requests are charged", {"fields": ("examples",)}),
    )
    readonly_fields = ("live_example", "examples")
    minimum_usd = usd_column("minimum_nano", "minimum")

    Media = MoneyMedia

    def get_queryset(self, request: HttpRequest) -> QuerySet[PricingTier]:
        rows = super().get_queryset(request).annotate(client_count=Count("clients"))
        return rows.select_related("price_book", "current_terms")

    def get_fieldsets(self, request: HttpRequest, obj: PricingTier | None = None) -> Any:
        """Who only looks sees the steps of volume where the versions are."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return [each for each in fieldsets if "volume_steps" not in each[1]["fields"]]

    @display(description="mark-up", ordering="markup_percent")
    def markup(self, tier: PricingTier) -> str:
        return f"{tier.markup_percent.normalize():+f} %"

    @display(description="minimum", ordering="minimum_nano")
    def minimum(self, tier: PricingTier) -> str:
        return format_usd(tier.minimum_nano) if tier.minimum_nano else "–"

    @display(description="fixed prices")
    def fixed(self, tier: PricingTier) -> str:
        return ", ".join(tier.overrides or ()) or "–"

    @display(description="$1.00 list cost is charged")
    def example(self, tier: PricingTier) -> str:
        return words.charged_on_a_dollar(int(tier.markup_percent * PPM_PER_PERCENT))

    @display(description="example")
    def live_example(self, tier: PricingTier | None) -> SafeString:
        text = self.example(tier) if tier is not None and tier.pk else "$1.00"
        return format_html(
            '<output class="cv-example" data-cv-example="markup">{}</output>'
            '<div class="cv-figures">charged for a request that costs $1.00 at list price</div>',
            text,
        )

    @display(description="examples")
    def examples(self, tier: PricingTier | None) -> SafeString:
        if tier is None or tier.pk is None:
            return self.examples_box([])
        return self.examples_box(_examples(tier.price_book_id, tier.terms()))

    def examples_of(self, request: HttpRequest) -> list[bill_examples.Example]:
        form = TypedTier(request.POST)
        if not form.is_valid():
            raise bill_examples.NotYet(first_error(form))
        typed = form.cleaned_data
        terms = pricing.Terms(
            markup_ppm=int(typed["markup_percent"] * PPM_PER_PERCENT),
            minimum_nano=typed["minimum_usd"],
            overrides=price_parts.overrides_of(typed["overrides"]),
        )
        found = _examples(typed["price_book"], terms)
        if not found:
            raise bill_examples.NotYet("The book has no price that holds now.")
        return found

    @display(description="clients", ordering="client_count")
    def clients_shown(self, tier: Any) -> int:
        return int(tier.client_count)


def _examples(book_id: int, terms: pricing.Terms) -> list[bill_examples.Example]:
    """Of models with a fixed price first, then of others in the book."""
    rows = Price.objects.valid_at(clock.now()).of_all_deployments().filter(book_id=book_id)
    fixed = list(rows.filter(model__in=terms.overrides).order_by("model")[:SAMPLES])
    others = rows.exclude(model__in=terms.overrides).order_by("model")[:SAMPLES]
    return [bill_examples.of_terms(row.version(), terms) for row in [*fixed, *others]]
