"""The ledger and what is derived from it: for reading only, whoever reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import ReadOnlyPage
from apps.accounts.models import ApiKey, Client, Team, User
from apps.accounts.permissions import limit
from apps.billing import words
from apps.billing.admin.money import MoneyMedia, usd_column
from apps.billing.models import BudgetWindow, LedgerEntry
from chatvault.lib import replica
from chatvault.lib.money import format_usd


class _OwnerFilter(DropdownFilter):
    """Entries keep the ids of their owners, so that they outlive them."""

    model: type[Any]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        seen = limit(self.model._default_manager.all(), asking(request))
        return seen.order_by("name").values_list("pk", "name")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = str(self.value() or "")
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            return queryset
        return queryset.filter(**{f"{self.parameter_name}_id": int(value)})


class ClientFilter(_OwnerFilter):
    title = "client"
    parameter_name = "client"
    model = Client


class TeamFilter(_OwnerFilter):
    title = "team"
    parameter_name = "team"
    model = Team


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyPage):
    """Money as it was booked."""

    Media = MoneyMedia
    list_display = (
        "booked_at", "kind", "account", "amount", "whose", "key", "provider", "of_request", "note",
    )  # fmt: skip
    list_display_links = ("booked_at",)
    list_filter = (
        ClientFilter,
        TeamFilter,
        ("account", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
        ("booked_at", RangeDateFilter),
    )
    list_filter_submit = True
    search_fields = ("request_id", "provider_name", "author_name", "reason", "batch_id")
    search_help_text = "By request id, provider, or the author, reason or batch of an adjustment"
    show_full_result_count = False
    fields = (
        "booked_at", "kind", "number", "account", "amount", "client", "team", "key",
        "provider_name", "of_request", "author_name", "reason", "batch_id", "created_at",
    )  # fmt: skip

    @replica.tolerant
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, extra_context)

    def fill_in(self, rows: Sequence[Any]) -> None:
        for kind, model in (("client", Client), ("team", Team), ("key", ApiKey)):
            ids = {getattr(row, f"{kind}_id") for row in rows}
            names = dict(model._default_manager.filter(pk__in=ids).values_list("pk", "name"))
            for row in rows:
                setattr(row, f"{kind}_name", names.get(getattr(row, f"{kind}_id")))
        people = {row.user_id for row in rows if not row.key_id and row.user_id}
        known = dict(User.objects.filter(pk__in=people).values_list("pk", "username"))
        for row in rows:
            row.user_name = known.get(row.user_id)

    @display(description="amount", ordering="amount_nano")
    def amount(self, entry: LedgerEntry) -> SafeString:
        sign = "negative" if entry.amount_nano < 0 else "positive"
        return format_html(
            '<span class="cv-amount" data-sign="{}">{}</span>', sign, format_usd(entry.amount_nano)
        )

    @display(description="client")
    def client(self, entry: Any) -> str:
        return self._name(entry, "client")

    @display(description="team")
    def team(self, entry: Any) -> str:
        return self._name(entry, "team")

    @display(description="client, team", header=True)
    def whose(self, entry: Any) -> tuple[str, str]:
        return self._name(entry, "client"), self._name(entry, "team")

    @display(description="provider", ordering="provider_name")
    def provider(self, entry: LedgerEntry) -> str:
        return entry.provider_name or "–"

    @display(description="key, person")
    def key(self, entry: Any) -> str:
        """Whose token it was, where there was no key."""
        if entry.key_id:
            return self._name(entry, "key")
        if not hasattr(entry, "user_name"):
            self.fill_in([entry])
        return f"JWT of {entry.user_name}" if entry.user_name else "–"

    @display(description="request")
    def of_request(self, entry: LedgerEntry) -> str | SafeString:
        text = str(entry.request_id)
        try:
            url = reverse("admin:usage_requestlog_changelist")
        except NoReverseMatch:
            return text
        return format_html(
            '<a class="cv-link" href="{}?request_id={}" title="{}">{}…</a>',
            url,
            text,
            text,
            text[:13],
        )

    @display(description="why")
    def note(self, entry: LedgerEntry) -> str:
        return " – ".join(filter(None, (entry.author_name, entry.reason))) or "–"

    def _name(self, entry: Any, kind: str) -> str:
        if not hasattr(entry, f"{kind}_name"):
            self.fill_in([entry])
        name = getattr(entry, f"{kind}_name")
        return name if name is not None else f"deleted (id {getattr(entry, f'{kind}_id')})"


@admin.register(BudgetWindow)
class BudgetWindowAdmin(ReadOnlyPage):
    """What budgets spent in each of their periods."""

    list_display = ("whom", "period", "starts_at", "settled", "amount", "updated_at")
    list_display_links = ("starts_at",)
    list_filter = (
        ("budget__team", RelatedDropdownFilter),
        ("budget__client", RelatedDropdownFilter),
        ("starts_at", RangeDateFilter),
    )
    list_filter_submit = True
    list_select_related = ("budget__team", "budget__client", "budget__key__client")
    search_fields = (
        "budget__team__name", "budget__client__name", "budget__key__name",
        "budget__key__client__name",
    )  # fmt: skip
    fields = ("whom", "period", "starts_at", "settled", "amount", "updated_at")
    settled = usd_column("settled_nano", "spent")

    Media = MoneyMedia

    @display(description="for")
    def whom(self, window: BudgetWindow) -> str:
        return str(window.budget.scope)

    @display(description="period", ordering="budget__period")
    def period(self, window: BudgetWindow) -> str:
        return window.budget.get_period_display()

    @display(description="amount now", ordering="budget__amount_nano")
    def amount(self, window: BudgetWindow) -> str:
        return words.short_usd(window.budget.amount_nano)
