"""Forecasts of budgets: a list, and a page with the burn-down of each."""

from __future__ import annotations

import csv
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from apps.accounts import permissions
from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import ReadOnlyPage
from apps.billing.words import short_usd
from apps.forecasts import charts, services
from apps.forecasts.models import BudgetForecast
from chatvault.lib import clock
from chatvault.lib.money import format_usd, usd_from_nano

CSV_HEADERS: Final = ["day", "spent_usd", "expected_usd", "low_usd", "high_usd", "amount_usd"]
_STATES: Final = {"lasts": "success", "may run out": "warning", "runs out": "danger"}


class WhichFilter(DropdownFilter):
    """Without a choice: what is expected now."""

    title = "made"
    parameter_name = "made"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("all", "Also earlier ones")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        return queryset.filter(pk__in=BudgetForecast.objects.newest().values("pk"))


class BreachFilter(DropdownFilter):
    title = "end"
    parameter_name = "end"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("breach", "Runs out"), ("risk", "May run out"), ("lasts", "Lasts")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "breach":
            return queryset.filter(runs_out_on__isnull=False)
        if self.value() == "risk":
            return queryset.filter(runs_out_on=None, runs_out_earliest__isnull=False)
        if self.value() == "lasts":
            return queryset.filter(runs_out_earliest=None)
        return queryset


@admin.register(BudgetForecast)
class BudgetForecastAdmin(ReadOnlyPage):
    """What budgets can expect, the first to run out first."""

    list_display = ("whom", "state", "spent", "expected", "band", "amount", "safe", "made_at")
    list_filter = (WhichFilter, BreachFilter, ("method", ChoicesDropdownFilter))
    list_filter_submit = True
    list_select_related = (*(f"budget__{one}" for one in services.RELATED), "budget__key__client")
    ordering = ("-made_on", "runs_out_on", "pk")
    search_fields = ("budget__team__name", "budget__client__name", "budget__key__name")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[BudgetForecast]:
        queryset: QuerySet[BudgetForecast] = super().get_queryset(request)
        return queryset.defer("points")

    def get_urls(self) -> list[URLPattern]:
        table = path(
            "<path:object_id>/table.csv",
            self.admin_site.admin_view(self.csv_view),
            name="forecasts_budgetforecast_csv",
        )
        now = path(
            "<path:object_id>/now/",
            self.admin_site.admin_view(require_POST(self.now_view)),
            name="forecasts_budgetforecast_now",
        )
        return [table, now, *super().get_urls()]

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
        budget = services.active().filter(pk=row.budget_id).first() or row.budget
        context = self.admin_site.each_context(request) | {
            "title": "Forecast",
            "subtitle": str(budget.scope),
            "opts": self.opts,
            "original": row,
            "media": self.media,
            "row": row,
            "budget": budget,
            "facts": facts_of(row),
            "chart": charts.burn_down(row),
            "csv": reverse("admin:forecasts_budgetforecast_csv", args=[row.pk]),
            "now": reverse("admin:forecasts_budgetforecast_now", args=[row.pk]),
            "may_ask": self.may_ask(request, row),
            "is_over": row.window_ends_at is not None and row.window_ends_at <= clock.now(),
        }
        return TemplateResponse(request, "forecasts/budget_forecast.html", context)

    def csv_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The table beside the chart."""
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        name = f"forecast-{row.budget_id}-{row.made_on:%Y-%m-%d}.csv"
        answer = HttpResponse(
            content_type="text/csv; charset=utf-8",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )
        writer = csv.writer(answer)
        writer.writerow(CSV_HEADERS)
        for day, *amounts in charts.table_of(row):
            writer.writerow([day, *("" if one is None else usd_from_nano(one) for one in amounts)])
        return answer

    def may_ask(self, request: HttpRequest, row: BudgetForecast) -> bool:
        """Whoever may change the budget."""
        return permissions.may_touch(asking(request), "change", row.budget)

    def now_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A worker makes it anew; the page shows it when it is done."""
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.may_ask(request, row):
            raise PermissionDenied
        asked = services.ask(budget=row.budget)
        self.message_user(
            request,
            "A worker makes the forecast: reload in a moment."
            if asked
            else "A worker has been asked already: reload in a moment.",
        )
        return HttpResponseRedirect(reverse("admin:forecasts_budgetforecast_change", args=[row.pk]))

    @display(description="budget", header=True)
    def whom(self, row: BudgetForecast) -> list[str]:
        return [str(row.budget.scope), f"per {row.budget.period}"]

    @display(description="end", ordering="runs_out_on", label=_STATES)
    def state(self, row: BudgetForecast) -> tuple[str, str]:
        return state_of(row)

    @display(description="spent", ordering="spent_nano")
    def spent(self, row: BudgetForecast) -> str:
        return short_usd(row.spent_nano)

    @display(description="expected", ordering="expected_nano")
    def expected(self, row: BudgetForecast) -> str:
        return short_usd(row.expected_nano)

    @display(description="four of five cases")
    def band(self, row: BudgetForecast) -> str:
        return f"{short_usd(row.low_nano)} to {short_usd(row.high_nano)}"

    @display(description="amount", ordering="amount_nano")
    def amount(self, row: BudgetForecast) -> str:
        return format_usd(row.amount_nano)

    @display(description="a day: expected / safe")
    def safe(self, row: BudgetForecast) -> str | SafeString:
        return format_html(
            '{}<span class="cv-under">{} would last</span>',
            short_usd(row.daily_nano),
            short_usd(row.safe_daily_nano),
        )


def state_of(row: BudgetForecast) -> tuple[str, str]:
    """The state and how it is told."""
    if row.runs_out_on is not None:
        return "runs out", f"runs out {row.runs_out_on:%Y-%m-%d}"
    if row.runs_out_earliest is not None:
        return "may run out", f"may run out {row.runs_out_earliest:%Y-%m-%d}"
    return "lasts", "lasts"


def facts_of(row: BudgetForecast) -> list[tuple[str, str]]:
    days = [row.runs_out_earliest, row.runs_out_on, row.runs_out_latest]
    earliest, expected, latest = (f"{day:%Y-%m-%d}" if day else "not in this time" for day in days)
    return [
        ("Spent so far", f"{short_usd(row.spent_nano)} of {format_usd(row.amount_nano)}"),
        ("Expected at the end", short_usd(row.expected_nano)),
        ("Four of five cases", f"{short_usd(row.low_nano)} to {short_usd(row.high_nano)}"),
        ("Runs out on", expected),
        ("Earliest / latest", f"{earliest} / {latest}"),
        (
            "A day: expected / safe",
            f"{short_usd(row.daily_nano)} / {short_usd(row.safe_daily_nano)}",
        ),
    ]
