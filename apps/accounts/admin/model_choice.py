"""Choosing models from a list that can be typed into."""

from __future__ import annotations

from typing import Any

from django.db.models import ManyToManyField
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from apps.accounts import permissions
from apps.accounts.admin.limited import asking
from apps.accounts.usable_models import aliases_of

_TYPEABLE = "unfold-admin-autocomplete"


class ModelChoiceMixin:
    """For admins whose rows have `aliases`, which people know as models. Whoever manages a team
    gives on what its clients may use already."""

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        kwargs["widget"] = UnfoldAdminSelect2MultipleWidget()
        field = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]
        # the theme styles it as a plain list and explains how to hold the control key
        field.widget.attrs["class"] = _TYPEABLE
        field.help_text = kwargs.get("help_text", "")
        rows = permissions.rows_of(db_field.model)
        if rows is not None and rows.change is not None:
            field.queryset = aliases_of(asking(request), rows.change)
        return field
