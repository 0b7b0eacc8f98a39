"""Who has which role, on the pages of teams and of people; saved by the services alone."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.accounts import people
from apps.accounts.admin.limited import asking
from apps.accounts.errors import AccountsError
from apps.accounts.models import InstallationRole, Membership, Team, User
from apps.accounts.principals import Principal
from apps.accounts.roles import Role


class RoleForm(forms.ModelForm):
    """Offers the roles that whoever fills it in may give, and the one that is held."""

    who: ClassVar[Principal]
    page: ClassVar[Team | User | None]  # whose page it is on

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" not in self.fields:
            return
        offered = [role for role in Role if people.may_give(self.who, role.value, self._team())]
        names = {role.value for role in offered} | {self.instance.role}
        given = self.fields["role"]
        choices = [(value, label) for value, label in type(self.instance).Role.choices]
        given.choices = [each for each in choices if each[0] in names]  # type: ignore[attr-defined]
        given.widget.choices = given.choices  # type: ignore[attr-defined]
        held = self.instance.role if self.instance.pk else None
        given.disabled = held is not None and held not in offered

    def _team(self) -> Team | None:
        return None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        role, team = cleaned.get("role"), cleaned.get("team") or self._team()
        held = Membership.objects.filter(pk=self.instance.pk).values_list("role", flat=True).first()
        touched = {role, held} if isinstance(self.instance, Membership) else {role}
        for each in touched - {None}:
            if self.has_changed() and not people.may_give(self.who, str(each), team):
                self.add_error("role", "This role allows more than you may do yourself here.")
        return cleaned


class MemberForm(RoleForm):
    person = forms.CharField(
        label="person",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="The exact user name or e-mail address of somebody who has an account.",
    )

    class Meta:
        model = Membership
        fields = ("person", "role")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["person"].disabled = True
            self.fields["person"].initial = self.instance.user.get_username()

    def _team(self) -> Team:
        return self.page if isinstance(self.page, Team) else Team()

    def clean_person(self) -> User:
        if self.instance.pk:
            return self.instance.user
        try:
            user = people.find_person(self.cleaned_data.get("person") or "")
        except AccountsError as wrong:
            raise forms.ValidationError(str(wrong)) from None
        team = self._team()
        if Membership.objects.filter(team=team.pk, user=user).exists():
            raise forms.ValidationError(f"{user} is in the team: change the role there.")
        return user

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if isinstance(user := cleaned.get("person"), User):
            self.instance.user = user
        return cleaned


class PlaceForm(RoleForm):
    class Meta:
        model = Membership
        fields = ("team", "role")

    def _team(self) -> Team | None:
        return self.instance.team if self.instance.team_id else Team()


class InstallationForm(RoleForm):
    class Meta:
        model = InstallationRole
        fields = ("role",)
        widgets: ClassVar[dict[str, Any]] = {"role": UnfoldAdminSelectWidget}


class _RoleInline(TabularInline):
    extra = 0
    hide_title = True

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        given = {"who": asking(request), "page": obj}
        formset.form = type(formset.form.__name__, (formset.form,), given)
        return formset


class MembershipOfTeam(_RoleInline):
    """On a team's page. People are named exactly: nobody leafs through other teams' people."""

    model = Membership
    form = MemberForm
    fields = ("person", "role")
    verbose_name = "member"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        rows: QuerySet[Membership] = super().get_queryset(request)
        return rows.select_related("user", "team").order_by("user__username")


class MembershipOfUser(_RoleInline):
    """On a person's page."""

    model = Membership
    form = PlaceForm
    fields = ("team", "role")
    autocomplete_fields = ("team",)
    verbose_name = "team of this person"
    verbose_name_plural = "teams of this person"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        rows: QuerySet[Membership] = super().get_queryset(request)
        return rows.select_related("user", "team").order_by("team__name")


class InstallationRoleOfUser(_RoleInline):
    """On a person's page."""

    model = InstallationRole
    form = InstallationForm
    fields = ("role",)
    verbose_name = "role in the whole installation"
    verbose_name_plural = "roles in the whole installation"

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # one is taken and another one given


class SavesRoles:
    """For a page with such inlines: `save_formset` writes by the services."""

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model not in (Membership, InstallationRole):
            super().save_formset(request, form, formset, change)  # type: ignore[misc]
            return
        by = asking(request)
        formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []
        for each in formset.initial_forms:
            held = type(each.instance).objects.get(pk=each.instance.pk)
            team = getattr(held, "team", None)
            if each in formset.deleted_forms:
                people.take_role(user=held.user, role=held.role, team=team, by=by)
                formset.deleted_objects.append(held)
            elif each.has_changed():
                wanted = each.instance
                moved = team is not None and wanted.team_id != team.pk
                if moved:
                    people.take_role(user=held.user, role=held.role, team=team, by=by)
                people.give_role(
                    user=held.user, role=wanted.role, team=getattr(wanted, "team", None), by=by
                )
                formset.changed_objects.append((wanted, each.changed_data))
        for each in formset.extra_forms:
            if each.has_changed() and each not in formset.deleted_forms:
                row = each.instance
                people.give_role(
                    user=row.user, role=row.role, team=getattr(row, "team", None), by=by
                )
                formset.new_objects.append(row)
