"""Keys: issued here, shown once, and from then on only by their first and last characters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from apps.accounts import key_status, key_use, keys, services
from apps.accounts.admin import issued
from apps.accounts.admin.key_actions import KeyActions
from apps.accounts.admin.key_filters import AttentionFilter, ScopeFilter, StatusFilter
from apps.accounts.admin.key_forms import KeyForm
from apps.accounts.admin.limited import asking
from apps.accounts.admin.model_choice import ModelChoiceMixin
from apps.accounts.admin.pages import VersionedPage, actor_of, link_to
from apps.accounts.models import ApiKey
from chatvault.lib import clock

_KNOWN = (
    "status",
    "hint",
    "created_by",
    "created_at",
    "revoked_at",
    "last_used",
    "stored_as",
    "replaces",
    "replaced_by",
)


@admin.register(ApiKey)
class ApiKeyAdmin(KeyActions, ModelChoiceMixin, VersionedPage):
    """A key is shown when it is issued. Later it can be disabled and enabled, or revoked, which
    is for good; it is never deleted, so that the ledger keeps its name."""

    form = KeyForm
    list_display: tuple[str, ...] = (
        "name",
        "client",
        "team",
        "hint_shown",
        "status",
        "models",
        "last_used",
        "expires",
    )
    list_filter = (
        StatusFilter,
        AttentionFilter,
        ScopeFilter,
        ("client__team", RelatedDropdownFilter),
        ("client", RelatedDropdownFilter),
    )
    list_filter_submit = True
    list_select_related = ("client__team", "created_by", "predecessor", "successor")
    search_fields = ("name", "hint", "labels", "client__name", "client__team__name")
    search_help_text = "By name, client, team, label, or the first or last characters of the key"
    autocomplete_fields = ("client",)
    actions = ("enable", "disable", "extend", "rotate_many", "revoke")
    actions_list: ClassVar[Any] = ("import_keys", *VersionedPage.actions_list)
    actions_detail = ("rotate",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).defer("digest").prefetch_related("aliases")

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        form.who = asking(request)
        return form

    def fill_in(self, rows: Sequence[Any]) -> None:
        super().fill_in(rows)
        counts = key_use.requests_since(key_use.rotated(rows))
        for key in rows:
            key.since_rotation = counts.get(key.pk)

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        chosen = [
            (None, {"fields": ("client", "name", "expires_at", "is_active")}),
            ("What it may do", {"fields": ("scopes", "aliases", "networks")}),
            ("To find it by", {"fields": ("labels",)}),
        ]
        return chosen if obj is None else [*chosen, ("The key", {"fields": _KNOWN})]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return () if obj is None else ("client", *_KNOWN)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        is_for_good = obj is not None and obj.revoked_at is not None
        return not is_for_good and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    @display(description="team", ordering="client__team__name")
    def team(self, key: ApiKey) -> str:
        return key.client.team.name

    @display(description="status", label=key_status.LABELS)
    def status(self, key: ApiKey) -> str:
        return key_status.status_of(key, clock.now())

    @display(description="key", ordering="hint")
    def hint_shown(self, key: ApiKey) -> SafeString:
        return format_html('<code class="whitespace-nowrap">{}</code>', key.hint)

    @display(description="models")
    def models(self, key: ApiKey) -> str:
        names: Iterator[str] = (alias.name for alias in key.aliases.all())
        return ", ".join(names) or "as the client"

    @display(description="expires", ordering="expires_at")
    def expires(self, key: ApiKey) -> str:
        return key_status.expiry_of(key, clock.now())

    @display(description="last used", ordering="last_used_at")
    def last_used(self, key: Any) -> str:
        used = key_status.last_use_of(key, clock.now())
        if key.rotated_at is None:
            return used
        count = getattr(key, "since_rotation", None)
        if count is None:
            count = key_use.requests_since(key_use.rotated([key])).get(key.pk, 0)
        return f"{used}; {count} requests since its rotation"

    @display(description="stored as")
    def stored_as(self, key: ApiKey) -> str:
        if key.pepper is None:
            return "SHA-256, imported; under the pepper from its next use on"
        newest = keys.pepper_number()
        later = "" if key.pepper == newest else f"; moves to {newest} at its next use"
        return f"HMAC-SHA256 under pepper {key.pepper}{later}"

    @display(description="replaces")
    def replaces(self, key: ApiKey) -> str | SafeString:
        return link_to(key.predecessor)

    @display(description="replaced by")
    def replaced_by(self, key: ApiKey) -> str | SafeString:
        return link_to(getattr(key, "successor", None))

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if kwargs.get("add"):
            context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made = services.issue_key(
            client=obj.client,
            name=obj.name,
            actor=actor_of(request),
            expires_at=obj.expires_at,
            is_active=obj.is_active,
            scopes=obj.scopes,
            networks=obj.networks,
            labels=obj.labels,
            aliases=form.cleaned_data.get("aliases") or (),
            who=asking(request),
        )
        form.instance.pk = made.key.pk
        form.instance.refresh_from_db()
        request.issued_key = made  # type: ignore[attr-defined]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        services.announce_keys(ApiKey.objects.filter(pk=form.instance.pk))

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The secret is in this answer and nowhere else; loading the page again posts the form
        again, which finds the name taken."""
        made = request.issued_key  # type: ignore[attr-defined]
        return issued.show_once(request, made, self.admin_site.each_context(request))
