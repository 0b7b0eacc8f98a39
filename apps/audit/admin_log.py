"""Pages of the admin that leave an event for everything they change, in its transaction.

Put `AuditedAdmin` before ModelAdmin in the bases of a page. Forms are recorded with what their
fields were and are, inline rows among them; deletions with the row that was; actions by what the
services record, or else by their name and the rows that were chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import DecimalField, ModelChoiceField, ModelMultipleChoiceField
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.audit import trail
from apps.audit.models import AuditEvent
from chatvault.lib import correlation
from chatvault.lib.money import usd_from_nano

MOST_CHOSEN: Final = 50
_OF_ADDING: Final = frozenset({"added", "made", "created", "issued", "imported", "registered"})
_OF_DELETING: Final = frozenset({"deleted", "removed"})
"""What services call it; then the page says nothing more."""

_NEVER_TOLD: Final = frozenset({"digest", "imported_as", "password"})

Changes = tuple[dict[str, Any], dict[str, Any]]


class AuditedAdmin:
    """A mixin for ModelAdmin. Django's own log of the admin is written as well."""

    changes_nothing: ClassVar[Sequence[str]] = ("test_connection",)
    """Actions that only ask: they leave no event and are not held in a transaction."""

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Called when all is saved, with the forms that still know what was before."""
        about = getattr(form, "instance", None) or getattr(form, "user", None)
        _changes(request)[id(about)] = _of_forms(form, formsets or (), add=add)
        message = super().construct_change_message  # type: ignore[misc]
        return message(request, form, formsets, add)

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        before, after = _changes(request).pop(id(obj), ({}, {}))
        if not _told_verbs(obj) & _OF_ADDING:
            _record("added", obj, before, after)
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        before, after = _changes(request).pop(id(obj), ({}, {}))
        if (before or after) and not (before.keys() | after.keys()) <= _told_fields(obj):
            _record("changed", obj, before, after)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            if not _told_verbs(obj) & _OF_DELETING:
                _record("deleted", obj, _row(obj), {})
        return super().log_deletions(request, queryset)  # type: ignore[misc]

    def response_action(self, request: HttpRequest, queryset: Any, *more: Any) -> Any:
        """Whatever the action is: when its service recorded nothing, it is recorded here."""
        name = _action_of(request)
        run = super().response_action  # type: ignore[misc]
        if not name or name in self.changes_nothing:
            return run(request, queryset, *more)
        with transaction.atomic():
            chosen = _chosen(request, queryset)
            count = trail.recorded()
            response: HttpResponseBase | None = run(request, queryset, *more)
            if trail.recorded() == count and _was_run(request, name, response):
                topic = self.opts.model_name  # type: ignore[attr-defined]
                trail.record(f"{topic}.{name}"[:64], after=chosen)
        return response

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Of pages of people: Django's own has no transaction around change and log."""
        with transaction.atomic():
            return super().user_change_password(  # type: ignore[misc]
                request, *args, **kwargs
            )


def _record(verb: str, obj: Model, before: dict[str, Any], after: dict[str, Any]) -> None:
    action = f"{obj._meta.model_name}.{verb}"
    trail.record(action, target=obj, before=before, after=after, team_id=team_of(obj))


def team_of(obj: Model) -> int | None:
    """Whose row it is, as far as the row says so itself."""
    if obj._meta.label_lower == "accounts.team":
        return obj.pk
    if isinstance(own := getattr(obj, "team_id", None), int):
        return own
    for name in ("client", "key", "budget"):
        owner = getattr(obj, name, None)
        if isinstance(owner, Model) and (found := team_of(owner)) is not None:
            return found
    return None


def _told_of(obj: Model) -> QuerySet[AuditEvent]:
    """What the services that did it have recorded for this request."""
    here = correlation.current()
    about = AuditEvent.objects.filter(
        request_id=here, target_type=obj._meta.label_lower, target_id=str(obj.pk)
    )
    return about if here else about.none()


def _told_verbs(obj: Model) -> set[str]:
    actions = _told_of(obj).values_list("action", flat=True)
    return {action.rpartition(".")[2] for action in actions}


def _told_fields(obj: Model) -> set[str]:
    return {name for after in _told_of(obj).values_list("after", flat=True) for name in after}


def _changes(request: HttpRequest) -> dict[int, Changes]:
    if not hasattr(request, "_audit_changes"):
        request._audit_changes = {}  # type: ignore[attr-defined]
    found: dict[int, Changes] = request._audit_changes  # type: ignore[attr-defined]
    return found


def _of_forms(form: Any, formsets: Iterable[Any], *, add: bool) -> Changes:
    before, after = _of_form(form, is_new=add)
    for formset in formsets:
        name = formset.model._meta.verbose_name
        for row, _ in getattr(formset, "changed_objects", ()):
            inline = next((f for f in formset.initial_forms if f.instance == row), None)
            old, new = _of_form(inline, is_new=False) if inline is not None else ({}, {})
            before[f"{name} {row}"], after[f"{name} {row}"] = old, new
        for row in getattr(formset, "new_objects", ()):
            made = next((f for f in formset.extra_forms if f.instance is row), None)
            after[f"{name} {row}"] = _of_form(made, is_new=True)[1] if made is not None else {}
        for row in getattr(formset, "deleted_objects", ()):
            before[f"{name} {row}"] = _row(row)
    return before, after


def _of_form(form: Any, *, is_new: bool) -> Changes:
    before, after = {}, {}
    names = form.cleaned_data if is_new else form.changed_data
    for name in names:
        field = form.fields.get(name)
        new = form.cleaned_data.get(name)
        if is_new and (field is None or _is_empty(new)):
            continue
        if field is None:  # a password, which has two fields and no value
            after[name] = "changed"
            continue
        if not is_new:
            before[name] = _shown(field, form.get_initial_for_field(field, name))
        after[name] = _shown(field, new)
    return before, after


def _shown(field: Any, value: Any) -> Any:
    """A choice of rows as rows, not as their numbers; amounts in USD as they were typed in."""
    if isinstance(field, DecimalField) and isinstance(value, int | Decimal):
        amount = usd_from_nano(value) if isinstance(value, int) else value
        return f"{amount.normalize():f}"
    if isinstance(value, QuerySet):
        return [str(row) for row in value]
    if isinstance(field, ModelMultipleChoiceField) and value:
        keys = [getattr(each, "pk", each) for each in value]
        return [str(row) for row in _every(field).filter(pk__in=keys)]
    if isinstance(field, ModelChoiceField) and value and not isinstance(value, Model):
        return _every(field).filter(pk=value).first() or value
    return value


def _every(field: Any) -> Any:
    """All that could be chosen: what was chosen before may not be on offer any more."""
    return field.queryset.model._default_manager


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, QuerySet) and not value)


def _row(obj: Model) -> dict[str, Any]:
    """The row's own fields; what it refers to by number."""
    return {
        field.attname: getattr(obj, field.attname)
        for field in obj._meta.concrete_fields
        if field.name not in _NEVER_TOLD and field.attname in obj.__dict__
    }


def _action_of(request: HttpRequest) -> str:
    """The action that was chosen; there may be a menu above and below the list."""
    names = [name for name in request.POST.getlist("action") if name]
    return names[0] if names else ""


def _was_run(request: HttpRequest, name: str, response: HttpResponseBase | None) -> bool:
    """Not a page that asks first, nor one that only warned that nothing was chosen."""
    if not request.POST.getlist("_selected_action") and not _is_across(request):
        return False
    asks = response is not None and response.status_code == 200
    return response is not None and not asks and name != "delete_selected"


def _is_across(request: HttpRequest) -> bool:
    return request.POST.get("select_across", "0") not in ("", "0", "false", "False")


def _chosen(request: HttpRequest, queryset: QuerySet[Any]) -> dict[str, Any]:
    keys = request.POST.getlist("_selected_action")
    if _is_across(request):
        return {"rows": "all of the list", "count": queryset.count()}
    rows = queryset.filter(pk__in=keys)[:MOST_CHOSEN]
    return {"rows": [str(row) for row in rows], "count": len(keys)}
