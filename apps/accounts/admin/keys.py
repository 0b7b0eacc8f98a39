"""Keys: issued here, shown once, and from then on only by their first and last characters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from apps.accounts import services
from apps.accounts.admin import issued, key_status
from apps.accounts.admin.model_choice import ModelChoiceMixin
from apps.accounts.admin.pages import VersionedPage, actor_of
from apps.accounts.models import ApiKey
from chatvault.lib import clock


class KeyForm(forms.ModelForm):
    class Meta:
        labels = {"aliases": "Models"}
        help_texts = {
            "client": "The application that will use the key; it pays for it.",
            "aliases": "Narrows what the client may use; type to find one. "
            "Empty: all of the client's models.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "expires_at" in self.fields:
            in_90_days = clock.now() + timedelta(days=90)
            self.fields["expires_at"].help_text = (
                "From then on the key is refused. Empty: it never expires. "
                f"In 90 days is {in_90_days:%Y-%m-%d}."
            )

    def clean_expires_at(self) -> Any:
        moment = self.cleaned_data["expires_at"]
        if moment and "expires_at" in self.changed_data and moment <= clock.now():
            raise forms.ValidationError(
                "This moment has passed. Choose a later one, or disable or revoke the key."
            )
        return moment

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        client = cleaned.get("client") or getattr(self.instance, "client", None)
        if client is None:
            return cleaned
        taken = ApiKey.objects.filter(client=client, name=cleaned.get("name", ""))
        if taken.exclude(pk=self.instance.pk).exists():
            self.add_error("name", f"{client} has a key of this name. Choose another one.")
        self._check_aliases(client, cleaned.get("aliases"))
        return cleaned

    def _check_aliases(self, client: Any, chosen: Any) -> None:
        if not chosen or client.may_use_all_aliases:
            return
        missing = set(chosen) - set(client.aliases.all())
        if missing:
            names = ", ".join(sorted(alias.name for alias in missing))
            self.add_error("aliases", f"{client} may not use {names}. Allow it there first.")


class StatusFilter(DropdownFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return key_status.CHOICES

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        if self.value() not in dict(key_status.CHOICES):
            return queryset
        return queryset.filter(key_status.of_status(str(self.value()), clock.now()))


@admin.register(ApiKey)
class ApiKeyAdmin(ModelChoiceMixin, VersionedPage):
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
        "expires",
        "created_at",
    )
    list_filter = (
        StatusFilter,
        ("client__team", RelatedDropdownFilter),
        ("client", RelatedDropdownFilter),
    )
    list_filter_submit = True
    list_select_related = ("client__team", "created_by")
    search_fields = ("name", "hint", "client__name", "client__team__name")
    search_help_text = "By name, client, team, or the first or last characters of the key"
    autocomplete_fields = ("client",)
    actions = ("enable", "disable", "revoke")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        return super().get_queryset(request).defer("digest").prefetch_related("aliases")

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        chosen = ("client", "name", "expires_at", "aliases", "is_active")
        if obj is None:
            return [(None, {"fields": chosen})]
        known = ("status", "hint", "created_by", "created_at", "revoked_at")
        return [(None, {"fields": chosen}), ("The key", {"fields": known})]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        known = ("status", "hint", "created_by", "created_at", "revoked_at")
        return () if obj is None else ("client", *known)

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

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        count = services.enable_keys(keys=queryset, actor=actor_of(request))
        self.message_user(request, f"{count} keys enabled. Revoked keys stay revoked.")

    @admin.action(description="Disable: refuse until enabled again", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        count = services.disable_keys(keys=queryset, actor=actor_of(request))
        self.message_user(request, f"{count} keys disabled.")

    @admin.action(description="Revoke: refuse for good", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        count = services.revoke_keys(keys=queryset, actor=actor_of(request))
        self.message_user(request, f"{count} keys revoked, for good.")
