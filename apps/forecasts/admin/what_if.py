"""What-if: a form that asks, and a page with the answer."""

from __future__ import annotations

import csv
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from apps.accounts import usable_models
from apps.accounts.admin.limited import asking as who_asks
from apps.accounts.admin.pages import Page, actor_of
from apps.accounts.roles import Capability
from apps.billing.words import short_places, short_usd
from apps.forecasts import asking, charts
from apps.forecasts.models import WhatIf
from apps.usage.reports.exporting.columns import Kind, cell
from chatvault.lib import clock
from chatvault.lib.errors import InvalidField
from chatvault.lib.money import format_usd, places_of, usd_from_nano

_NOW, _THEN = "#9ca3af", "var(--color-primary-600)"
_FIELDS = {"to": "ends_at", "model": None}
_AMOUNTS = ("cost_now", "cost_then", "charged_now", "charged_then")
CSV_HEADERS = [
    "model", "requests", "left_out", "cost_usd", "cost_then_usd", "charged_usd",
    "charged_then_usd", "difference_usd",
]  # fmt: skip


class WhatIfForm(forms.ModelForm):
    class Meta:
        model = WhatIf
        fields = (
            "client", "starts_at", "ends_at", "only_alias", "alias", "cached_percent",
            "service_tier", "tier",
        )  # fmt: skip

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if self.errors:
            return found
        asked = WhatIf(**{name: found.get(name) for name in self.Meta.fields})
        try:
            asking.refuse_nonsense(asked)
        except InvalidField as refused:
            self.add_error(_FIELDS.get(refused.param or ""), refused.message)
        return found


@admin.register(WhatIf)
class WhatIfAdmin(Page):
    """Questions and their answers, the newest first. An answer is not edited: ask again."""

    form = WhatIfForm
    list_display = ("asked", "client", "time", "now", "then", "difference", "how", "created_at")
    list_filter = (("client", RelatedDropdownFilter), ("state", ChoicesDropdownFilter))
    list_filter_submit = True
    list_select_related = ("client",)
    search_fields = ("client__name", "words", "author_name")
    autocomplete_fields = ("client",)
    show_full_result_count = False
    fieldsets = (
        ("Which requests", {"fields": ("client", "starts_at", "ends_at", "only_alias")}),
        (
            "What would be otherwise",
            {"fields": ("alias", "cached_percent", "service_tier", "tier")},
        ),
    )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        first, now = asking.month_of(clock.now())
        return {"starts_at": first, "ends_at": now.replace(microsecond=0)} | (
            super().get_changeform_initial_data(request)
        )

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None and db_field.name == "alias":
            field.queryset = usable_models.aliases_of(who_asks(request), Capability.BILLING_READ)
        if field is not None and db_field.name == "tier":
            field.queryset = asking.tiers_for(who_asks(request))
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        self._check(request, "add", obj)
        asking.ask(asked=obj, author=actor_of(request).get_username())

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        """To the answer."""
        return HttpResponseRedirect(reverse("admin:forecasts_whatif_change", args=[obj.pk]))

    def get_urls(self) -> list[URLPattern]:
        table = path(
            "<path:object_id>/table.csv",
            self.admin_site.admin_view(self.csv_view),
            name="forecasts_whatif_csv",
        )
        return [table, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {
            "title": "What-if",
            "subtitle": str(row.client),
            "opts": self.opts,
            "original": row,
            "media": self.media,
            "row": row,
            "facts": _facts(row),
            "chart": _chart(row),
            "csv": reverse("admin:forecasts_whatif_csv", args=[row.pk]),
            "table": _table(row.lines),
        }
        return TemplateResponse(request, "forecasts/what_if.html", context)

    def csv_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The table of the answer."""
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        answer = HttpResponse(
            content_type="text/csv; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="what-if-{row.pk}.csv"'},
        )
        writer = csv.writer(answer)
        writer.writerow(CSV_HEADERS)
        for line in row.lines:
            amounts = [line[name] for name in _AMOUNTS]
            amounts.append(_difference(line["charged_now"], line["charged_then"]))
            told = ["" if one is None else usd_from_nano(one) for one in amounts]
            writer.writerow(
                [cell(line["model"], Kind.TEXT), line["requests"], line["left_out"], *told]
            )
        return answer

    @display(description="as if", header=True)
    def asked(self, row: WhatIf) -> list[str]:
        return [row.words, row.author_name]

    @display(description="requests of")
    def time(self, row: WhatIf) -> str:
        return f"{row.starts_at:%Y-%m-%d} – {row.ends_at:%Y-%m-%d}"

    @display(description="charged", ordering="charged_now_nano")
    def now(self, row: WhatIf) -> str:
        return short_usd(row.charged_now_nano) if row.state == WhatIf.State.DONE else "–"

    @display(description="then", ordering="charged_then_nano")
    def then(self, row: WhatIf) -> str:
        return _money(row.charged_then_nano) if row.state == WhatIf.State.DONE else "–"

    @display(description="difference")
    def difference(self, row: WhatIf) -> str:
        found = _difference(row.charged_now_nano, row.charged_then_nano)
        return _signed(found, short_places([found]))

    @display(
        description="worked out",
        label={"row by row": "success", "hourly sums": "info", "waits": "warning"},
    )
    def how(self, row: WhatIf) -> str:
        if row.state != WhatIf.State.DONE:
            return "waits" if row.state == WhatIf.State.WAITING else "failed"
        return "row by row" if row.is_exact else "hourly sums"


def _facts(row: WhatIf) -> list[tuple[str, str]]:
    return [
        (
            "Requests",
            f"{row.requests:,}" + (f", {row.left_out:,} left out" if row.left_out else ""),
        ),
        ("Charged", format_usd(row.charged_now_nano)),
        ("Charged then", _money(row.charged_then_nano, exact=True)),
        ("Difference", _signed(_difference(row.charged_now_nano, row.charged_then_nano))),
        ("Cost", format_usd(row.cost_now_nano)),
        ("Cost then", _money(row.cost_then_nano, exact=True)),
    ]


def _chart(row: WhatIf) -> Any:
    known = [line for line in row.lines if line["charged_then"] is not None]
    pairs = [
        ("Charged", _NOW, [line["charged_now"] for line in known]),
        ("Charged then", _THEN, [line["charged_then"] for line in known]),
    ]
    return charts.bars("Charged by model, USD", [line["model"] for line in known], pairs)


def _table(lines: list[dict[str, Any]]) -> list[list[str]]:
    """A row for each model; the points of a column's amounts stand below each other."""
    amounts = [
        [*(line[name] for name in _AMOUNTS), _difference(line["charged_now"], line["charged_then"])]
        for line in lines
    ]
    places = [places_of(column) for column in zip(*amounts, strict=True)]
    return [
        [line["model"], f"{line['requests']:,}", f"{line['left_out']:,}"]
        + ["no price" if one is None else format_usd(one, count) for one, count in cells]
        + [_signed(difference, places[-1])]
        for line, (*row, difference) in zip(lines, amounts, strict=True)
        for cells in [list(zip(row, places, strict=False))]
    ]


def _difference(now: int, then: int | None) -> int | None:
    return None if then is None else then - now


def _money(nano: int | None, *, exact: bool = False) -> str:
    if nano is None:
        return "no price"
    return format_usd(nano) if exact else short_usd(nano)


def _signed(nano: int | None, places: int | None = None) -> str:
    if nano is None:
        return "–"
    return f"{'+' if nano > 0 else ''}{format_usd(nano, places)}"
