"""Default deny: a view names the capability that each method needs, or nobody gets in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Model
from django.http import Http404
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.accounts.api import use
from apps.accounts.middleware import limit_rows
from apps.accounts.permissions import rows_of
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability

if TYPE_CHECKING:
    from rest_framework.views import APIView  # imports the settings that name this module


class HasCapability(BasePermission):
    """Asks the view's `capabilities`: by method, one that must be held in some team at least.

    Which rows it then concerns is the view's queryset: what is outside is a 404. On PostgreSQL
    the rows of other teams do not exist from here on, whatever the view asks.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        needed = capability_of(request.method or "", view)
        who = request.user
        if needed is None or not isinstance(who, Principal):
            return False
        use.begin(request, who)
        is_allowed = who.may_somewhere(needed)
        use.note(request, who, needed, is_allowed=is_allowed)
        if not is_allowed:
            return False
        limit_rows(request._request, who)
        return True

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        """The queryset should hold no foreign rows; if one got in, it is not there after all.
        Raises Http404 for what may not even be seen."""
        needed, who = capability_of(request.method or "", view), request.user
        rows = rows_of(obj) if isinstance(obj, Model) else None
        if rows is None or not rows.is_of_teams:
            return True
        if needed is None or not isinstance(who, Principal):
            return False
        teams = rows.teams_of(obj, "view")
        if who.may(needed) or any(who.may(needed, team) for team in teams):
            return True
        if who.may(rows.view) or any(who.may(rows.view, team) for team in teams):
            return False
        raise Http404


def capability_of(method: str, view: APIView) -> Capability | None:
    """What the view asks for; HEAD and OPTIONS ask for what GET does."""
    table: dict[str, Capability] = getattr(view, "capabilities", {})
    return table.get("GET" if method in ("HEAD", "OPTIONS") else method)
