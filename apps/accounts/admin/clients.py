"""Clients: applications that call the gateway, with their models and keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import InlineModelAdmin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import action, display

from apps.accounts import services
from apps.accounts.admin.limited import asking
from apps.accounts.admin.model_choice import ModelChoiceMixin
from apps.accounts.admin.pages import VersionedPage, actor_of, link_to
from apps.accounts.key_status import expiry_of, status_of
from apps.accounts.models import ApiKey, Client, ClientQuerySet
from apps.accounts.roles import Capability
from apps.accounts.usable_models import may_all
from chatvault.lib import clock


class KeysOfClient(TabularInline):
    """A summary: keys have pages of their own, and are issued from the button above."""

    model = ApiKey
    fields = readonly_fields = ("key", "hint", "status", "expiry", "created_at")
    extra = max_num = 0
    can_delete = False
    hide_title = True
    verbose_name_plural = "keys"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).select_related("client__team").order_by("name")

    def key(self, key: ApiKey) -> str:
        return link_to(key, key.name)

    @display(description="status")
    def status(self, key: ApiKey) -> str:
        return status_of(key, clock.now())

    @display(description="expires")
    def expiry(self, key: ApiKey) -> str:
        return expiry_of(key, clock.now())


class ClientForm(forms.ModelForm):
    class Meta:
        labels = {"may_use_all_aliases": "May use all models", "aliases": "Models"}
        help_texts = {
            "may_use_all_aliases": "Every alias that there is, and every one that is made later, "
            "without anybody coming back to this page. The list below is ignored then.",
            "aliases": "The aliases that the client's keys may ask for; type to find one. A key "
            "can narrow the list further. Empty: the client may use none.",
            "is_active": "Off: all keys of this client are refused, within a second or two.",
        }


@admin.register(Client)
class ClientAdmin(ModelChoiceMixin, VersionedPage):
    """Applications that call the gateway."""

    form = ClientForm
    list_display: tuple[str, ...] = ("name", "team", "tier", "live_keys", "models", "is_active")
    list_filter = ("is_active", ("team", RelatedDropdownFilter), ("tier", RelatedDropdownFilter))
    list_filter_submit = True
    list_select_related = ("team", "tier")
    ordering = ("name",)
    search_fields = ("name", "description", "team__name")
    autocomplete_fields = ("team",)
    actions = ("suspend", "enable")
    actions_detail = ("issue_key",)
    inlines: tuple[type[InlineModelAdmin], ...] = (KeysOfClient,)
    falls_with: ClassVar[tuple[type[Model], ...]] = (ApiKey,)
    conditional_fields = {"aliases": "may_use_all_aliases == false"}
    fieldsets = (
        (None, {"fields": ("name", "team", "description", "is_active")}),
        ("What it may use", {"fields": ("may_use_all_aliases", "aliases")}),
        ("What it pays", {"fields": ("tier",)}),
    )

    def get_queryset(self, request: HttpRequest) -> ClientQuerySet:
        clients: ClientQuerySet = super().get_queryset(request)
        return clients.with_live_key_count().prefetch_related("aliases")

    def get_readonly_fields(self, request: HttpRequest, obj: Client | None = None) -> Any:
        """Nobody gives a client a price or models that are not theirs to give."""
        fixed = tuple(super().get_readonly_fields(request, obj))
        who, team = asking(request), obj.team_id if obj is not None else None
        if not who.may(Capability.BILLING_WRITE, team):
            fixed += ("tier",)
        if not may_all(who, Capability.CLIENTS_WRITE):
            fixed += ("may_use_all_aliases",)
        return fixed

    def get_inlines(self, request: HttpRequest, obj: Client | None) -> Any:
        """Keys are issued to a client that there is."""
        shown = super().get_inlines(request, obj)
        return [each for each in shown if obj is not None or each is not KeysOfClient]

    @display(description="live keys", ordering="live_key_count")
    def live_keys(self, client: Any) -> int:
        return int(client.live_key_count)

    @display(description="models")
    def models(self, client: Client) -> str:
        if client.may_use_all_aliases:
            return "all"
        return _few([alias.name for alias in client.aliases.all()]) or "none"

    def save_model(self, request: HttpRequest, obj: Client, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and {"is_active", "team"} & set(form.changed_data):
            services.announce_keys(ApiKey.objects.filter(client=obj))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        client = form.instance
        if not client.may_use_all_aliases and not client.aliases.exists():
            messages.warning(request, f"{client} may not use any model yet: choose some.")

    def delete_model(self, request: HttpRequest, obj: Client) -> None:
        services.announce_keys(ApiKey.objects.filter(client=obj))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Client]) -> None:
        services.announce_keys(ApiKey.objects.filter(client__in=queryset))
        super().delete_queryset(request, queryset)

    def has_issue_key_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return request.user.has_perm("accounts.add_apikey")

    @admin.action(description="Suspend: refuse all their keys", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: ClientQuerySet) -> None:
        count = services.suspend_clients(clients=queryset, actor=actor_of(request))
        self.message_user(request, f"{count} clients suspended.")

    @admin.action(description="Enable again", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: ClientQuerySet) -> None:
        count = services.resume_clients(clients=queryset, actor=actor_of(request))
        self.message_user(request, f"{count} clients enabled.")

    @action(
        description="Issue a key",
        url_path="issue-key",
        icon="key",
        permissions=["issue_key"],
    )
    def issue_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return redirect(f"{reverse('admin:accounts_apikey_add')}?client={object_id}")


def _few(names: Sequence[str]) -> str:
    more = f" + {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
