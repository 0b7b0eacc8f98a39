"""People who sign in, and what they are in teams and in the whole installation."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts import effective, people, permissions
from apps.accounts.admin.limited import asking
from apps.accounts.admin.members import InstallationRoleOfUser, MembershipOfUser, SavesRoles
from apps.accounts.admin.pages import Page, PageMixin
from apps.accounts.errors import AccountsError, LastOwner
from apps.accounts.models import InstallationRole, Membership, User
from apps.accounts.roles import Role

admin.site.unregister(Group)


class PersonForm(UserChangeForm):
    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in ("is_superuser", "is_active"):
            if cleaned.get(name) is False and people.is_last_owner(
                User.objects.get(pk=self.instance.pk)
            ):
                self.add_error(name, str(LastOwner()))
        return cleaned


class PasswordForm(AdminPasswordChangeForm):
    def save(self, commit: bool = True) -> User:
        user: User = super().save(commit)
        people.password_was_set(user=user)
        return user


@admin.register(User)
class UserAdmin(SavesRoles, PageMixin, DjangoUserAdmin, ModelAdmin):
    """People. Who is in a team sees its members; owners manage everybody."""

    form = PersonForm
    add_form = UserCreationForm
    change_password_form = PasswordForm
    list_display = ("username", "full_name", "email", "in_teams", "kind", "last_login")
    list_filter = ("is_active", "is_superuser", ("teams", RelatedDropdownFilter))
    list_filter_submit = True
    search_fields = ("username", "first_name", "last_name", "email")
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    inlines = (InstallationRoleOfUser, MembershipOfUser)
    actions = ("enable", "disable")
    actions_list: ClassVar[Any] = ("show_roles",)
    actions_detail = ("show_effective",)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Account", {"fields": ("is_active", "is_superuser")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        seen = permissions.limit(Membership.objects.select_related("team"), asking(request))
        mine = Prefetch("memberships", seen.order_by("team__name"), to_attr="seen_memberships")
        everywhere = Prefetch(
            "installation_roles",
            permissions.limit(InstallationRole.objects.order_by("role"), asking(request)),
            to_attr="seen_roles",
        )
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.prefetch_related(mine, everywhere)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        return super().get_inlines(request, obj) if obj is not None else ()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name == "is_superuser":
            field.label = "Owner of the installation"
            field.help_text = "May do everything, everywhere, and make others owners."
        if field is not None and db_field.name == "is_active":
            field.help_text = "Off: the person cannot sign in, and sessions and tokens end at once."
        return field

    @display(description="name", ordering="last_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @display(description="teams")
    def in_teams(self, user: Any) -> str:
        seen = [f"{row.team.name} ({row.get_role_display()})" for row in user.seen_memberships]
        return ", ".join(seen) or "–"

    @display(
        description="installation",
        label={"owner": "primary", "active": "success", "inactive": "danger"},
    )
    def kind(self, user: Any) -> tuple[str, str]:
        if not user.is_active:
            return "inactive", "inactive"
        if user.is_superuser:
            return "owner", "owner"
        held = ", ".join(row.get_role_display() for row in user.seen_roles)
        return "active", held or "active"

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Ownership and activity go by the services, which keep the last owner."""
        by, changed = asking(request), set(form.changed_data) if change else set()
        wanted = {name: getattr(obj, name) for name in ("is_superuser", "is_active")}
        if change:
            before = User.objects.get(pk=obj.pk)
            obj.is_superuser, obj.is_active = before.is_superuser, before.is_active
        else:
            obj.is_superuser = False
        super().save_model(request, obj, form, change)
        if "is_superuser" in changed:
            verb = people.give_role if wanted["is_superuser"] else people.take_role
            verb(user=obj, role=Role.OWNER, by=by)
        if "is_active" in changed:
            (people.enable_user if wanted["is_active"] else people.disable_user)(user=obj, by=by)
        people.changed(obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Sessions, tokens and whatever else is a person's go with the person."""
        shown, counts, _, protected = super().get_deleted_objects(objs, request)
        return shown, counts, set(), protected

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if self.has_delete_permission(request) and row and people.is_last_owner(row):
            messages.error(request, str(LastOwner()))
            return redirect("admin:accounts_user_change", row.pk)
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        people.delete_user(user=obj, by=asking(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset, people.delete_user, "deleted")

    @admin.action(description="Enable", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset, people.enable_user, "enabled")

    @admin.action(description="Disable: sign them out, refuse their tokens", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        self._each(request, queryset, people.disable_user, "disabled")

    def _each(self, request: HttpRequest, chosen: QuerySet[User], verb: Any, word: str) -> None:
        count = 0
        for user in chosen:
            try:
                count += verb(user=user, by=asking(request)) is not False
            except AccountsError as refused:
                messages.error(request, f"{user}: {refused}")
        self.message_user(request, f"{count} people {word}.")

    @action(description="What roles allow", url_path="roles", icon="rule")
    def show_roles(self, request: HttpRequest) -> HttpResponse:
        """The table of capabilities, as it is in the code."""
        context = {"title": "What roles allow", **effective.table()}
        return self._page(request, "accounts/roles.html", context)

    @action(description="What they may do", url_path="effective", icon="rule")
    def show_effective(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What this person may do, and by which role."""
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        shown = effective.of_person(user, asking(request))
        context = {"title": "What they may do", "subtitle": str(user), "original": user}
        return self._page(request, "accounts/effective.html", context | {"places": shown})

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, shared | context)


@admin.register(Membership)
class MembershipAdmin(Page):
    """Who is what in which team: for looking up. Roles are given on the pages of teams."""

    list_display = ("user", "team", "role")
    list_display_links = ("user",)
    list_filter = (("team", RelatedDropdownFilter), ("role", ChoicesDropdownFilter))
    list_filter_submit = True
    list_select_related = ("user", "team")
    search_fields = ("user__username", "user__email", "team__name")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
