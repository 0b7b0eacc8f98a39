"""People who sign in, their groups, and their places in teams."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts.admin.pages import Page, PageMixin
from apps.accounts.models import Membership, User

admin.site.unregister(Group)


class MembershipOfUser(TabularInline):
    model = Membership
    autocomplete_fields = ("team",)
    extra = 0
    hide_title = True
    verbose_name = "team of this person"
    verbose_name_plural = "teams of this person"


@admin.register(User)
class UserAdmin(PageMixin, DjangoUserAdmin, ModelAdmin):
    """People. Only superusers make superusers, or touch one."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "email", "in_teams", "is_staff", "kind", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", ("teams", RelatedDropdownFilter))
    list_filter_submit = True
    search_fields = ("username", "first_name", "last_name", "email")
    readonly_fields = ("last_login", "date_joined")
    inlines = (MembershipOfUser,)
    _rights: ClassVar[tuple[str, ...]] = ("is_superuser", "groups", "user_permissions")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("teams")

    @display(description="name", ordering="last_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @display(description="teams")
    def in_teams(self, user: User) -> str:
        return ", ".join(team.name for team in user.teams.all()) or "–"

    @display(
        description="account",
        label={"superuser": "primary", "active": "success", "inactive": "danger"},
    )
    def kind(self, user: User) -> str:
        if not user.is_active:
            return "inactive"
        return "superuser" if user.is_superuser else "active"

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        return fields if request.user.is_superuser else (*fields, *self._rights)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        if not request.user.is_superuser:
            queryset = queryset.filter(is_superuser=False)
        super().delete_queryset(request, queryset)


def _may_touch(request: HttpRequest, obj: Any) -> bool:
    return obj is None or request.user.is_superuser or not obj.is_superuser


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Permissions that several people share."""


@admin.register(Membership)
class MembershipAdmin(Page):
    """Who is what in which team."""

    list_display = ("user", "team", "role")
    list_display_links = ("user",)
    list_filter = (("team", RelatedDropdownFilter), ("role", ChoicesDropdownFilter))
    list_filter_submit = True
    list_select_related = ("user", "team")
    search_fields = ("user__username", "user__email", "team__name")
    autocomplete_fields = ("user", "team")
