"""The admin's site: open to whoever has a role, with choices that are limited to what it gives."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite


class SignInForm(AuthenticationForm):
    """Somebody without a role is answered as somebody with a wrong password."""

    def confirm_login_allowed(self, user: Any) -> None:
        from apps.accounts.permissions import principal_of

        if not user.is_active or not may_enter(principal_of(user)):
            raise ValidationError(
                self.error_messages["invalid_login"],
                code="invalid_login",
                params={"username": self.username_field.verbose_name},
            )


def may_enter(who: Any) -> bool:
    return bool(who.everywhere or any(who.in_teams.values()))


class LimitedAutocomplete(AutocompleteJsonView):
    """Choices of a form field, as the form itself would take them."""

    def get_queryset(self) -> QuerySet[Any]:
        from apps.accounts.admin.limited import asking, choices_for

        return choices_for(asking(self.request), self.source_field, super().get_queryset())


class Site(UnfoldAdminSite):
    """`is_staff` opens nothing: a role does."""

    login_form = SignInForm
    empty_value_display = "–"

    def has_permission(self, request: HttpRequest) -> bool:
        from apps.accounts.permissions import principal_of

        user = request.user
        return bool(user.is_active and user.is_authenticated and may_enter(principal_of(user)))

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """A page of rows of which somebody may see and make none is closed before it looks for
        one: the answer is the same whether there is such a row or not."""
        page = getattr(view, "__self__", None)
        if not isinstance(page, ModelAdmin):
            return super().admin_view(view, cacheable)

        @wraps(view)
        def closed(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if not (
                page.has_view_or_change_permission(request) or page.has_add_permission(request)
            ):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return super().admin_view(closed, cacheable)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context: dict[str, Any] = super().each_context(request)
        context["colors"] = None  # they are in theme.css: no page holds inline style
        return context

    def autocomplete_view(self, request: HttpRequest) -> Any:
        return LimitedAutocomplete.as_view(admin_site=self)(request)
