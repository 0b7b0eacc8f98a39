"""Where alerts go, with a button that tries it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from apps.accounts import permissions
from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import Page, actor_of
from apps.alerts import channels, topics
from apps.alerts.admin.channel_form import ChannelForm
from apps.alerts.admin.labels import STATES, state_label
from apps.alerts.models import Channel, Delivery

_LAST = 10


@admin.register(Channel)
class ChannelAdmin(Page):
    """Who is told of what."""

    form = ChannelForm
    list_display = (
        "name", "whose", "kind", "where", "takes", "last_delivery", "last_at", "waiting",
        "is_active",
    )  # fmt: skip
    list_filter = (
        ("kind", ChoicesDropdownFilter), "is_active", ("team", RelatedDropdownFilter),
    )  # fmt: skip
    list_filter_submit = True
    list_select_related = ("team",)
    search_fields = ("name", "team__name", "recipients", "address")
    autocomplete_fields = ("team",)
    readonly_fields = ("where",)
    actions = ("switch_on", "switch_off")
    falls_with = (Delivery,)
    change_form_outer_before_template = "alerts/channel.html"
    conditional_fields = {
        "recipients": "kind == 'email'",
        "secret_url": "kind != 'email'",
        "signing_secret": "kind == 'webhook'",
    }
    fieldsets = (
        (None, {"fields": ("name", "team", "is_active")}),
        ("Where to", {"fields": ("kind", "recipients", "secret_url", "signing_secret")}),
        ("What", {"fields": ("topics",)}),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        return type("ChannelFormOf", (form,), {"request": request})

    def get_fieldsets(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        if obj is None:
            return self.fieldsets
        shown = ("Where to", {"fields": ("kind", "where", *self.fieldsets[1][1]["fields"][1:])})
        return (self.fieldsets[0], shown, self.fieldsets[2])

    def get_queryset(self, request: HttpRequest) -> QuerySet[Channel]:
        rows: QuerySet[Channel] = super().get_queryset(request)
        newest = Delivery.objects.filter(channel=OuterRef("pk")).order_by("-pk")
        return rows.annotate(
            last_state=Subquery(newest.values("state")[:1]),
            last_made=Subquery(newest.values("created_at")[:1]),
            open_count=Count("deliveries", filter=Q(deliveries__state__in=Delivery.OPEN)),
        ).order_by("name")

    @display(description="whose alerts", ordering="team__name")
    def whose(self, channel: Channel) -> str:
        return str(channel.team) if channel.team else "everybody's"

    @display(description="where to")
    def where(self, channel: Channel) -> str:
        return channel.shown_target or "–"

    @display(description="takes")
    def takes(self, channel: Channel) -> str:
        return ", ".join(topics.title_of(name) for name in channel.topics) or "everything"

    @display(description="last alert", label=STATES)
    def last_delivery(self, channel: Any) -> tuple[str, str] | str:
        return state_label(channel.last_state) if channel.last_state else "–"

    @admin.display(description="at", ordering="last_made")
    def last_at(self, channel: Any) -> Any:
        return channel.last_made

    @admin.display(description="waiting", ordering="open_count")
    def waiting(self, channel: Any) -> int:
        return int(channel.open_count)

    def save_model(self, request: HttpRequest, obj: Channel, form: Any, change: bool) -> None:
        self._check(request, "change" if change else "add", obj)
        form.store()

    def delete_model(self, request: HttpRequest, obj: Channel) -> None:
        channels.delete(channel=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            channels.delete(channel=row)

    @admin.action(description="Switch on", permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._switch(request, queryset, to=True)

    @admin.action(description="Switch off", permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        self._switch(request, queryset, to=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Channel], *, to: bool) -> None:
        rows = Channel.objects.filter(pk__in=queryset.values("pk")).exclude(is_active=to)
        count = 0
        for row in rows.select_related("team"):
            row.is_active = to
            channels.save(row)
            count += 1
        self.message_user(request, f"{count} channels switched {'on' if to else 'off'}.")

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        more = dict(extra_context or {})
        if object_id is not None and object_id.isascii() and object_id.isdigit():
            rows = permissions.limit(Delivery.objects.all(), asking(request))
            rows = rows.filter(channel=int(object_id)).select_related("alert").order_by("-pk")
            more["deliveries"] = rows[:_LAST]
            if self.has_change_permission(request):
                more["test_url"] = reverse("admin:alerts_channel_test", args=[object_id])
        return super().changeform_view(request, object_id, form_url, more)

    def get_urls(self) -> list[URLPattern]:
        test = path(
            "<int:object_id>/test/",
            self.admin_site.admin_view(self.test_view),
            name="alerts_channel_test",
        )
        return [test, *super().get_urls()]

    def test_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Outside of a transaction: sending takes seconds."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, str(object_id))
        if row is None or not self.has_change_permission(request, row):
            raise Http404
        tried = channels.test(channel=row, by=actor_of(request).get_username())
        if tried.state == Delivery.State.SENT:
            messages.success(request, f"The test alert was taken in {tried.duration_ms} ms.")
        else:
            messages.error(request, f"The test alert did not arrive: {tried.last_error}")
        return redirect("admin:alerts_channel_change", object_id)
