from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, RangeDateFilter
from unfold.decorators import action, display

from apps.accounts.admin.pages import Page
from apps.invoicing import rates
from apps.invoicing.admin.forms import RatesForm
from apps.invoicing.models import ExchangeRate
from chatvault.lib.errors import ChatVaultError


@admin.register(ExchangeRate)
class ExchangeRateAdmin(Page):
    """What one unit of a currency was worth in USD, by day."""

    list_display = ("currency", "day", "worth", "source", "created_at")
    list_display_links = ("currency", "day")
    list_filter = (("currency", AllValuesCheckboxFilter), ("day", RangeDateFilter))
    list_filter_submit = True
    search_fields = ("currency", "source")
    fields = ("currency", "day", "rate", "source")
    actions_list: ClassVar[Any] = ("import_rates",)

    @display(description="USD for 1", ordering="rate")
    def worth(self, rate: ExchangeRate) -> str:
        return f"{rate.rate.normalize():f}"

    def has_import_rates_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("invoicing.add_exchangerate")

    @action(
        description="Import CSV", url_path="import", icon="upload", permissions=["import_rates"]
    )
    def import_rates(self, request: HttpRequest) -> HttpResponse:
        """Takes over a table of rates, all of it or nothing."""
        if not self.has_import_rates_permission(request):
            raise PermissionDenied
        form = RatesForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            try:
                done = rates.import_csv(
                    form.cleaned_data["file"], source=form.cleaned_data["source"]
                )
            except ChatVaultError as refused:
                form.add_error("file", refused.message)
            else:
                text = f"{done.added} rates added, {done.changed} changed, {done.unchanged} known."
                messages.success(request, text)
                return redirect("admin:invoicing_exchangerate_changelist")
        context = self.admin_site.each_context(request) | {
            "title": "Import exchange rates",
            "opts": self.opts,
            "form": form,
            "button": "Import",
            "intro": "Bills in other currencies and totals of statements use the last rate known "
            "on their day. Rates that were used already do not change what was issued.",
            "media": self.media,
        }
        return TemplateResponse(request, "invoicing/form.html", context)
