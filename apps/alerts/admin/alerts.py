"""What was told."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from apps.accounts.admin.pages import ReadOnlyPage
from apps.alerts import topics
from apps.alerts.models import Alert, Delivery

State = Delivery.State


class TopicFilter(DropdownFilter):
    title = "topic"
    parameter_name = "topic"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        known = [(topic.name, topic.title) for topic in topics.registered()]
        return [*known, (topics.TEST, "Test of a channel")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(topic=self.value()) if self.value() else queryset


@admin.register(Alert)
class AlertAdmin(ReadOnlyPage):
    """Told once, however often it was found."""

    list_display = ("title", "about", "whose", "at", "found", "arrived")
    list_filter = (TopicFilter, ("at", RangeDateTimeFilter))
    list_filter_submit = True
    search_fields = ("title", "text", "key", "team_name")
    search_help_text = "Text of the alert, its key or a team."
    date_hierarchy = None
    show_full_result_count = False
    fields = (
        "title", "text", "about", "whose", "facts_shown", "page", "at", "last_at", "count", "until",
        "key", "arrived",
    )  # fmt: skip
    readonly_fields = ("about", "whose", "facts_shown", "page", "arrived")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        rows: QuerySet[Alert] = super().get_queryset(request)
        return rows.annotate(
            sent_count=Count("deliveries", filter=Q(deliveries__state=State.SENT)),
            all_count=Count("deliveries"),
        ).order_by("-at", "-pk")

    @display(description="topic", ordering="topic")
    def about(self, alert: Alert) -> str:
        return "Test of a channel" if alert.topic == topics.TEST else topics.title_of(alert.topic)

    @display(description="team", ordering="team_name")
    def whose(self, alert: Alert) -> str:
        return alert.team_name or "–"

    @admin.display(description="found", ordering="count")
    def found(self, alert: Alert) -> str:
        return "once" if alert.count == 1 else f"{alert.count:,} times"

    @display(description="arrived")
    def arrived(self, alert: Any) -> str | SafeString:
        if not alert.all_count:
            return "no channel takes it"
        url = f"{reverse('admin:alerts_delivery_changelist')}?alert__id__exact={alert.pk}"
        return format_html(
            '<a class="cv-link" href="{}">at {} of {}</a>', url, alert.sent_count, alert.all_count
        )

    @display(description="facts")
    def facts_shown(self, alert: Alert) -> str | SafeString:
        text = json.dumps(alert.facts, indent=2, ensure_ascii=False)
        return format_html('<pre class="cv-break">{}</pre>', text) if alert.facts else "–"

    @display(description="about")
    def page(self, alert: Alert) -> str | SafeString:
        if not alert.link.startswith("/admin/"):
            return "–"
        return format_html('<a class="cv-link" href="{}">Open</a>', alert.link)
