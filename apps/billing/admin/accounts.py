"""The pages of teams, clients and keys with what they spend, their quotas and budgets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from apps.accounts.admin.clients import ClientAdmin
from apps.accounts.admin.keys import ApiKeyAdmin
from apps.accounts.admin.teams import TeamAdmin
from apps.accounts.models import ApiKey, Client, Team
from apps.billing import spending, words
from apps.billing.admin import bars
from apps.billing.admin.limits import BudgetsOnPage, QuotasOnPage
from apps.billing.admin.money import MoneyMedia
from apps.billing.budget_use import uses_of
from apps.billing.models import Budget, BudgetWindow, Quota
from chatvault.lib import clock

FALLS = (Quota, Budget, BudgetWindow)

for _model in (Team, Client, ApiKey):
    admin.site.unregister(_model)


class MoneyMixin:
    """Two columns: what was charged this month, and the budget that will be spent first."""

    kind: spending.Kind

    Media = MoneyMedia

    def fill_in(self, rows: Sequence[Any]) -> None:
        super().fill_in(rows)  # type: ignore[misc]
        now = clock.now()
        charged = spending.this_month(self.kind, [row.pk for row in rows], now)
        budgets = list(Budget.objects.filter(is_active=True, **{f"{self.kind}__in": rows}))
        uses = uses_of(budgets, now)
        for row in rows:
            row.charged_nano = charged.get(row.pk, 0)
            row.uses = [
                (uses[budget.pk], budget.period)
                for budget in budgets
                if getattr(budget, f"{self.kind}_id") == row.pk
            ]

    @display(description="spent this month")
    def spent(self, row: Any) -> str:
        return words.short_usd(row.charged_nano)

    @display(description="budget")
    def budget(self, row: Any) -> str | SafeString:
        return bars.tightest(row.uses)


@admin.register(Team)
class TeamWithMoneyAdmin(MoneyMixin, TeamAdmin):
    kind = "team"
    list_display = (
        "name", "description", "clients_shown", "members_shown", "spent", "budget", "is_active",
    )  # fmt: skip
    inlines = (*TeamAdmin.inlines, QuotasOnPage, BudgetsOnPage)
    falls_with = FALLS


@admin.register(Client)
class ClientWithMoneyAdmin(MoneyMixin, ClientAdmin):
    kind = "client"
    list_display = (
        "name", "team", "tier", "live_keys", "models", "spent", "budget", "is_active",
    )  # fmt: skip
    inlines = (*ClientAdmin.inlines, QuotasOnPage, BudgetsOnPage)
    falls_with = (ApiKey, *FALLS)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        client = form.instance
        if client.tier_id is None and client.budgets.filter(is_active=True).exists():
            messages.warning(
                request,
                f"{client} has a budget but no pricing tier: what has no price is refused. "
                "Choose a tier.",
            )


@admin.register(ApiKey)
class ApiKeyWithMoneyAdmin(MoneyMixin, ApiKeyAdmin):
    kind = "key"
    list_display = (
        "name", "client", "team", "hint_shown", "status", "models", "spent", "last_used",
        "expires",
    )  # fmt: skip
    inlines = (QuotasOnPage, BudgetsOnPage)
