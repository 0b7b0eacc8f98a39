"""Price books, and taking over list prices into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action, display

from apps.accounts.admin.pages import VersionedPage
from apps.billing import book_overview, list_prices, words
from apps.billing.admin.money import MoneyMedia
from apps.billing.models import Price, PriceBook
from apps.billing.rate_words import name_of, shown
from apps.providers.models import Deployment
from chatvault.lib import clock
from chatvault.lib.money import format_usd


@admin.register(PriceBook)
class PriceBookAdmin(VersionedPage):
    """Lists of prices; a pricing tier points at one."""

    list_display = ("name", "description", "priced", "unpriced", "tiers_shown")
    search_fields = ("name", "description")
    fields = ("name", "description")
    change_form_after_template = "admin/billing/book_models.html"
    actions_detail = ("add_price", "import_list_prices")
    falls_with = (Price,)

    Media = MoneyMedia

    def fill_in(self, rows: Sequence[Any]) -> None:
        deployed = set(Deployment.objects.order_by().values_list("model", flat=True))
        priced: dict[int, set[str]] = {}
        current = Price.objects.valid_at(clock.now()).filter(book__in=rows).order_by()
        for book_id, model in current.values_list("book_id", "model"):
            priced.setdefault(book_id, set()).add(model)
        for book in rows:
            book.priced = priced.get(book.pk, set())
            book.unpriced = deployed - book.priced

    def get_queryset(self, request: HttpRequest) -> QuerySet[PriceBook]:
        return super().get_queryset(request).prefetch_related("tiers")

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Below the form: all models, what they cost now and next, where a price is missing or
        odd."""
        book = context.get("original")
        lines = book_overview.overview(book, clock.now()) if book is not None else []
        context |= {"book": book, "lines": lines}
        return super().render_change_form(request, context, *args, **kwargs)

    @display(description="priced models")
    def priced(self, book: Any) -> int:
        return len(book.priced)

    @display(description="deployed without a price")
    def unpriced(self, book: Any) -> str:
        names = sorted(book.unpriced)
        more = f" + {len(names) - 3} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more or "–"

    @display(description="tiers")
    def tiers_shown(self, book: PriceBook) -> str:
        return ", ".join(tier.name for tier in book.tiers.all()) or "–"

    def has_add_price_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("billing.add_price")

    def has_change_price_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("billing.change_price")

    @action(
        description="Add a price", url_path="add-price", icon="add",
        permissions=["add_price"],
    )  # fmt: skip
    def add_price(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect(f"{reverse('admin:billing_price_add')}?book={object_id}")

    @action(
        description="Import list prices",
        url_path="import-list-prices",
        icon="download",
        permissions=["add_price", "change_price"],
    )
    def import_list_prices(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Shows what would change; changes what was ticked."""
        if not object_id.isdigit():
            raise PermissionDenied
        book = get_object_or_404(PriceBook, pk=int(object_id))
        plan = list_prices.plan_import(book, clock.now())
        if request.method == "POST":
            return self._take_over(request, book, plan)
        context = self.admin_site.each_context(request) | {
            "title": f"List prices for {book}",
            "opts": self.opts,
            "book": book,
            "plan": plan,
            "rows": [_row(change) for change in plan.changes],
            "media": self.media,
        }
        return TemplateResponse(request, "admin/billing/import_list_prices.html", context)

    def _take_over(
        self, request: HttpRequest, book: PriceBook, plan: list_prices.Plan
    ) -> HttpResponse:
        if request.POST.get("plan") != plan.digest:
            messages.warning(request, "The prices changed meanwhile: look at them again.")
            return redirect(request.path)
        chosen = set(request.POST.getlist("model"))
        with transaction.atomic():
            count = list_prices.take_over(
                book=book, changes=plan.changes, models=chosen, now=clock.now()
            )
            if count:
                self.record(request, f"Imported {count} list prices into price book {book}")
        messages.success(request, f"{count} list prices were imported into {book}.")
        return redirect("admin:billing_pricebook_change", book.pk)


def _row(change: list_prices.Change) -> dict[str, Any]:
    """One line of the page: each price now and then."""
    names = {"input_nano": "input", "cached_input_nano": "cached", "output_nano": "output"}
    cells = []
    for attribute in names:
        old = getattr(change.old, attribute) if change.old else None
        new = change.rates[attribute]
        cells.append({"old": _shown(old), "new": _shown(new), "differs": old != new})
    more = [
        f"{name_of(name)}: {shown(name, getattr(change.old, name, None))} → {shown(name, new)}"
        for name, new in change.rates.items()
        if name not in names and getattr(change.old, name, None) != new
    ]
    example = words.example_nano(
        change.rates["input_nano"] or 0,
        change.rates["output_nano"] or 0,
        change.old.per_request_nano if change.old else 0,
    )
    return {
        "model": change.model,
        "is_new": change.is_new,
        "cells": cells,
        "more": more,
        "old_example": words.example_of(change.old) if change.old else "–",
        "new_example": format_usd(example),
    }


def _shown(nano: int | None) -> str:
    return "–" if nano is None else format_usd(nano)
