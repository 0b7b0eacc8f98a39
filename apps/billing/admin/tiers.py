"""Pricing tiers: a book and a mark-up."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.accounts.admin.pages import VersionedPage
from apps.billing import words
from apps.billing.admin.money import MoneyMedia
from apps.billing.models import PricingTier

PPM_PER_PERCENT = 10_000


class TierForm(forms.ModelForm):
    class Meta:
        model = PricingTier
        fields = ("name", "price_book", "markup_percent")
        labels = {"markup_percent": "Mark-up"}
        help_texts = {
            "name": "Short name, as it appears in configuration documents.",
            "markup_percent": "Percent added to the list price: 20 charges a fifth more, -10 is a "
            "discount of a tenth, -100 gives it away. Up to 4 decimal places.",
        }
        widgets = {
            "markup_percent": UnfoldAdminTextInputWidget(
                attrs={"inputmode": "decimal", "suffix": "%", "data-cv-percent": "markup"}
            )
        }


@admin.register(PricingTier)
class PricingTierAdmin(VersionedPage):
    """What clients pay."""

    form = TierForm
    list_display = ("name", "price_book", "markup", "example", "clients_shown")
    list_filter = (("price_book", RelatedDropdownFilter),)
    list_filter_submit = True
    list_select_related = ("price_book",)
    ordering = ("name",)
    search_fields = ("name", "price_book__name")
    autocomplete_fields = ("price_book",)
    fields = ("name", "price_book", "markup_percent", "live_example")
    readonly_fields = ("live_example",)

    Media = MoneyMedia

    def get_queryset(self, request: HttpRequest) -> QuerySet[PricingTier]:
        return super().get_queryset(request).annotate(client_count=Count("clients"))

    @display(description="mark-up", ordering="markup_percent")
    def markup(self, tier: PricingTier) -> str:
        return f"{tier.markup_percent.normalize():+f} %"

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

    @display(description="clients", ordering="client_count")
    def clients_shown(self, tier: Any) -> int:
        return int(tier.client_count)
