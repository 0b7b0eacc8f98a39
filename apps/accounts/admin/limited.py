"""Pages that hold only the rows which the table of capabilities gives to whoever looks.

A row of another team is not there: not in lists, choices, filters and searches, and its address is
a 404 like one that nobody ever had. Whoever may see more than they may change changes no more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, Final

from django.contrib.admin.filters import RelatedFieldListFilter
from django.contrib.admin.utils import get_model_from_relation, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.forms.models import _get_foreign_key
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern

from apps.accounts import permissions
from apps.accounts.principals import Principal

if TYPE_CHECKING:  # mixed into Django's classes, whose methods they go on to
    from typing import Any as _Base
else:
    _Base = object

_STANDARD: Final = ("add", "change", "changelist", "delete", "history")
_ACTIONS: Final = ("view", "add", "change", "delete")


def asking(request: HttpRequest) -> Principal:
    """Who looks at the page."""
    return permissions.principal_of(request.user)


def choices_for(who: Principal, field: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
    """What may be chosen for a field that points at rows of teams: where it decides whose the new
    row is, rows of teams in which it may be written; else what may be seen."""
    related = permissions.rows_of(queryset.model)
    if related is None or not related.is_of_teams:
        return queryset
    own = permissions.rows_of(field.model)
    if own is None or not _leading(own.teams, field.name):
        return permissions.limit(queryset, who)
    teams = who.teams_with(own.change) if own.change else frozenset[int]()
    if teams is None:
        return queryset
    if not _leading(own.paths("change"), field.name):
        return queryset.none()
    return queryset.filter(related.within(queryset.model, "view", teams))


def _leading(paths: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The paths that begin with a field."""
    return tuple(each for each in paths if each.partition("__")[0] in (name, f"{name}_id"))


class LimitedChoices(_Base):
    """Of an admin or an inline: form fields offer what may be chosen."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        return _limited(field, db_field, request)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        return _limited(field, db_field, request)


def _limited(field: Any, db_field: Any, request: HttpRequest) -> Any:
    if field is not None and getattr(field, "queryset", None) is not None:
        field.queryset = choices_for(asking(request), db_field, field.queryset)
    return field


class LimitedFilter(RelatedFieldListFilter):
    """Offers rows that may be seen; another one's id finds nothing."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        model: type[Model] = get_model_from_relation(field)
        rows = permissions.rows_of(model)
        if rows is None or not rows.is_of_teams:
            return super().field_choices(field, request, model_admin)
        seen = permissions.limit(model._default_manager.all(), asking(request))
        return field.get_choices(
            include_blank=False,
            ordering=self.field_admin_ordering(field, request, model_admin),
            limit_choices_to=Q(pk__in=seen.order_by().values("pk")),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        rows = permissions.rows_of(get_model_from_relation(self.field))
        if (
            rows is not None
            and rows.is_of_teams
            and asking(request).teams_with(rows.view) is not None
        ):
            offered = {str(pk) for pk, _ in self.lookup_choices}
            if any(str(each) not in offered for each in self._given()):
                return queryset.none()
        return super().queryset(request, queryset)

    def has_output(self) -> bool:
        """A link that names what is no choice finds nothing, instead of everything."""
        return bool(self._given()) or super().has_output()

    def _given(self) -> list[Any]:
        given = self.used_parameters.get(self.lookup_kwarg)
        return list(given) if isinstance(given, list | tuple) else [given] if given else []


@cache
def limited_filter(kind: type[RelatedFieldListFilter]) -> type[RelatedFieldListFilter]:
    return type(f"Limited{kind.__name__}", (LimitedFilter, kind), {})


class LimitedInline(LimitedChoices):
    """An inline of a limited page; its rows are those of the page's row."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)
        if _is_of_teams(queryset.model):
            return permissions.limit(queryset, asking(request))
        return queryset

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and self._may(request, "view", obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request, obj) and self._may(request, "add", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and self._may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and self._may(request, "delete", obj)

    def _may(self, request: HttpRequest, action: str, parent: Model | None) -> bool:
        model: type[Model] = self.model
        rows, who = permissions.rows_of(model), asking(request)
        if rows is None or not rows.is_of_teams:
            return True
        needed = rows.needed(action)
        if needed is None:
            return False
        if who.may(needed):
            return True
        above: type[Model] = self.parent_model
        link = _get_foreign_key(above, model, fk_name=self.fk_name).name
        if parent is None or not _leading(rows.teams, link):
            return who.may_somewhere(needed)  # each row is judged when it is saved
        if not _leading(rows.paths(action), link):
            return False
        owned = permissions.rows_of(above)
        teams = owned.teams_of(parent, "view") if owned else set()
        return any(who.may(needed, team) for team in teams)


@cache
def limited_inline(kind: type[Any]) -> type[Any]:
    return (
        kind if issubclass(kind, LimitedInline) else type(kind.__name__, (LimitedInline, kind), {})
    )


class Limited(LimitedChoices):
    """For a ModelAdmin: put it first."""

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """A list that nothing narrows shows all already, and does not offer it."""
        found = super().get_changelist_instance(request)
        if not (found.query or found.has_active_filters):
            found.full_result_count = found.result_count
        return found

    def get_queryset(self, request: HttpRequest) -> Any:
        queryset = super().get_queryset(request)
        return permissions.limit(queryset, asking(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_view_permission(request)
        return allowed and self._may(request, "view", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request)
        return allowed and self._may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request)
        return allowed and self._may(request, "delete", obj)

    def get_list_filter(self, request: HttpRequest) -> Any:
        return [_with_limit(each) for each in super().get_list_filter(request)]

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """As Django does, of inlines that are limited as well."""
        found = []
        for kind in self.get_inlines(request, obj):
            inline = limited_inline(kind)(self.model, self.admin_site)
            may_add = inline.has_add_permission(request, obj)
            if not (
                may_add
                or inline.has_view_or_change_permission(request, obj)
                or inline.has_delete_permission(request, obj)
            ):
                continue
            if not may_add:
                inline.max_num = 0
            found.append(inline)
        return found

    def get_urls(self) -> list[URLPattern]:
        """Views of one row that are not Django's own find it first."""
        known = {f"{self.opts.app_label}_{self.opts.model_name}_{each}" for each in _STANDARD}
        found: list[URLPattern] = super().get_urls()
        for each in found:
            if each.name not in known and "object_id" in each.pattern.converters:
                each.callback = self._of_a_row(each.callback)
        return found

    def response_action(self, request: Any, queryset: Any, *args: Any, **kwargs: Any) -> Any:
        """An action that changes rows gets those that may be changed."""
        for needed in self._asked_of(request):
            queryset = permissions.limit(queryset, asking(request), needed)
        return super().response_action(request, queryset, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        self._check(request, "change" if change else "add", obj)
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for each in formset.forms:
            if each in formset.deleted_forms:
                self._check(request, "delete", each.instance)
            elif each.has_changed():
                self._check(request, "change" if each.instance.pk else "add", each.instance)
        super().save_formset(request, form, formset, change)

    def _may(self, request: HttpRequest, action: str, obj: Any) -> bool:
        """The theme gives the id of a row where Django gives the row."""
        if obj is None:
            return True
        if not isinstance(obj, Model):
            obj = self._row(request, str(obj))
        return permissions.may_touch(asking(request), action, obj)

    def _row(self, request: HttpRequest, object_id: str) -> Model:
        kept: dict[str, Any] = request.__dict__.setdefault("_chatvault_rows", {})
        name = f"{self.opts.label}:{object_id}"
        if name not in kept:
            kept[name] = self.get_object(request, unquote(object_id))
        row: Model | None = kept[name]
        if row is None:
            raise Http404
        return row

    def _of_a_row(self, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def found(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if self.admin_site.has_permission(request):
                if not self.has_view_or_change_permission(request):
                    raise PermissionDenied
                self._row(request, str(kwargs["object_id"]))
            return view(request, *args, **kwargs)

        return found

    def _asked_of(self, request: HttpRequest) -> list[str]:
        """What the chosen action does to its rows; with a permission of its own it changes them."""
        names = request.POST.getlist("action")
        chosen = self.get_actions(request)
        asked: set[str] = set()
        for name in names:
            function = chosen[name][0] if name in chosen else None
            asked |= set(getattr(function, "allowed_permissions", ()))
        return sorted(each if each in _ACTIONS else "change" for each in asked - {"view"})

    def _check(self, request: HttpRequest, action: str, row: Model) -> None:
        """The last word on what a form would write, whatever made it valid."""
        if _is_of_teams(type(row)) and not permissions.may_touch(asking(request), action, row):
            raise PermissionDenied

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str | None
    ) -> HttpResponse:
        """The same for a row that is another team's and for one that nobody ever had."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        raise Http404


def _is_of_teams(model: type[Model]) -> bool:
    rows = permissions.rows_of(model)
    return rows is not None and rows.is_of_teams


def _with_limit(given: Any) -> Any:
    if isinstance(given, tuple) and issubclass(given[1], RelatedFieldListFilter):
        return given[0], limited_filter(given[1])
    return given
