"""Whether alerts arrived, and sending them again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
    RelatedDropdownFilter,
)
from unfold.decorators import display

from apps.accounts import permissions
from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import ReadOnlyPage, link_to
from apps.alerts import services
from apps.alerts.admin.labels import STATES, state_label
from apps.alerts.models import Delivery
from chatvault.lib.label import Label


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyPage):
    """One alert on its way to one channel."""

    list_display = (
        "about", "channel", "how", "created_at", "attempts", "took", "last_error", "next_at",
    )  # fmt: skip
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("channel", RelatedDropdownFilter),
        ("created_at", RangeDateTimeFilter),
    )
    list_filter_submit = True
    list_select_related = ("alert", "channel")
    search_fields = ("alert__title", "channel__name", "last_error", "public_id")
    search_help_text = "An alert, a channel, an error or the id that a webhook was sent."
    show_full_result_count = False
    actions = ("send_again",)
    fields = (
        "alert_link", "channel_link", "how", "attempts", "created_at", "sent_at", "took", "next_at",
        "last_error", "public_id",
    )  # fmt: skip
    readonly_fields = ("alert_link", "channel_link", "how", "took")

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup == "alert__id__exact" or super().lookup_allowed(lookup, value, request)

    @display(description="alert", ordering="alert__title")
    def about(self, row: Delivery) -> str:
        return row.alert.title

    @display(description="alert")
    def alert_link(self, row: Delivery) -> str:
        return link_to(row.alert)

    @display(description="channel")
    def channel_link(self, row: Delivery) -> str:
        return link_to(row.channel)

    @display(description="state", ordering="state", label=STATES)
    def how(self, row: Delivery) -> Label:
        return state_label(row.state)

    @admin.display(description="took", ordering="duration_ms")
    def took(self, row: Delivery) -> str:
        return f"{row.duration_ms:,} ms" if row.duration_ms is not None else "–"

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        return permissions.may(asking(request), "change", Delivery)

    @admin.action(description="Send again", permissions=["send_again"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """What was given up or failed; what arrived is not sent twice."""
        rows = permissions.limit(queryset, asking(request), "change")
        chosen = list(rows.select_related("alert", "channel"))
        count = services.retry(deliveries=chosen)
        kept = len(chosen) - count
        told = f"{count} are sent again." + (f" {kept} were sent or wait already." if kept else "")
        self.message_user(request, told)
