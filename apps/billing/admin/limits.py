"""Quotas and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from apps.accounts.admin.pages import VersionedPage, link_to
from apps.billing import words
from apps.billing.admin import bars
from apps.billing.admin.limit_forms import SCOPES, BudgetForm, QuotaForm
from apps.billing.admin.money import MoneyMedia
from apps.billing.budget_use import uses_of
from apps.billing.models import Budget, BudgetWindow, Quota
from chatvault.lib import clock

FOR_WHOM = ("For whom", {"fields": SCOPES})
FOR_THEM = ("For whom", {"fields": ("scope_shown",)})


class ScopeFilter(DropdownFilter):
    title = "scope"
    parameter_name = "scope"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("team", "Teams"), ("client", "Clients"), ("key", "Keys"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in SCOPES:
            return queryset
        return queryset.filter(~Q(**{str(self.value()): None}))


class ScopedAdmin(VersionedPage):
    """Rules on a team, a client or a key."""

    list_select_related = ("team", "client", "key__client")
    search_fields = (
        "team__name", "client__name", "client__team__name", "key__name", "key__client__name",
    )  # fmt: skip
    autocomplete_fields = SCOPES
    actions = ("activate", "deactivate")

    Media = MoneyMedia

    @display(description="for", header=True)
    def whom(self, rule: Any) -> list[str]:
        kind = next(name for name in SCOPES if getattr(rule, f"{name}_id") is not None)
        return [str(rule.scope), kind]

    @display(description="for")
    def scope_shown(self, rule: Any) -> str | SafeString:
        return link_to(rule.scope)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj is None else (FOR_THEM, *self.fieldsets[1:])

    @admin.action(description="Activate", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = queryset.filter(is_active=False).update(is_active=True)
        self.message_user(request, f"{count} {self.opts.verbose_name_plural} activated.")

    @admin.action(description="Deactivate", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = queryset.filter(is_active=True).update(is_active=False)
        self.message_user(request, f"{count} {self.opts.verbose_name_plural} deactivated.")


@admin.register(Quota)
class QuotaAdmin(ScopedAdmin):
    """How much in how long."""

    form = QuotaForm
    list_display = ("whom", "in_words", "unit", "is_active")
    list_filter = (
        ScopeFilter, ("unit", ChoicesDropdownFilter), "is_active", ("team", RelatedDropdownFilter),
    )  # fmt: skip
    list_filter_submit = True
    fieldsets = (
        FOR_WHOM,
        ("How much", {"fields": ("unit", "ceiling", "window_s", "live_words", "is_active")}),
    )
    readonly_fields = ("scope_shown", "live_words")

    @display(description="quota", ordering="ceiling")
    def in_words(self, quota: Quota) -> str:
        return words.quota_in_words(quota)

    @display(description="in words")
    def live_words(self, quota: Quota | None) -> SafeString:
        text = words.quota_in_words(quota) if quota is not None and quota.pk else "–"
        return format_html('<output class="cv-example" data-cv-example="quota">{}</output>', text)


@admin.register(Budget)
class BudgetAdmin(ScopedAdmin):
    """The most that may be spent. Period and scope stay as they were made."""

    form = BudgetForm
    list_display = ("whom", "in_words", "use", "is_active")
    list_filter = (
        ScopeFilter, ("period", ChoicesDropdownFilter), "is_active",
        ("team", RelatedDropdownFilter),
    )  # fmt: skip
    list_filter_submit = True
    fieldsets = (
        FOR_WHOM,
        ("How much", {"fields": ("amount_usd", "period", "live_words", "is_active")}),
        ("Now", {"fields": ("use",)}),
    )
    readonly_fields = ("scope_shown", "live_words", "use")
    falls_with = (BudgetWindow,)

    def get_fieldsets(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        shown = super().get_fieldsets(request, obj)
        return shown if obj is not None else shown[:2]

    def fill_in(self, rows: Sequence[Any]) -> None:
        uses = uses_of(rows, clock.now())
        for budget in rows:
            budget.use = uses[budget.pk]

    @display(description="budget", ordering="amount_nano")
    def in_words(self, budget: Budget) -> str:
        return words.budget_in_words(budget)

    @display(description="amount")
    def amount_usd(self, budget: Budget) -> str:
        return words.budget_in_words(budget)

    @display(description="in words")
    def live_words(self, budget: Budget | None) -> SafeString:
        text = words.budget_in_words(budget) if budget is not None and budget.pk else "–"
        return format_html('<output class="cv-example" data-cv-example="budget">{}</output>', text)

    @display(description="spent, held and left")
    def use(self, budget: Any) -> str | SafeString:
        return bar_of(budget)


class _OnPage(TabularInline):
    """Rules of the team, client or key whose page this is on."""

    extra = 0
    hide_title = True


class QuotasOnPage(_OnPage):
    model = Quota
    form = QuotaForm
    fields = ("unit", "ceiling", "window_s", "in_words", "is_active")
    readonly_fields = ("in_words",)

    @display(description="in words")
    def in_words(self, quota: Quota) -> str:
        return words.quota_in_words(quota) if quota.pk else "–"


class BudgetsOnPage(_OnPage):
    model = Budget
    form = BudgetForm
    fields = ("amount_usd", "period", "use", "is_active")
    readonly_fields = ("use",)

    @display(description="amount")
    def amount_usd(self, budget: Budget) -> str:
        return words.budget_in_words(budget)

    @display(description="spent, held and left")
    def use(self, budget: Budget) -> str | SafeString:
        return bar_of(budget) if budget.pk else "–"


def bar_of(budget: Any) -> str | SafeString:
    use = getattr(budget, "use", None) or uses_of([budget], clock.now())[budget.pk]
    return bars.bar(use, budget.period)
