"""What the pages of accounts and of the apps above share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, cast

from django.contrib import messages
from django.db import IntegrityError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from apps.accounts.admin.limited import Limited
from apps.accounts.errors import AccountsError
from apps.accounts.models import InstallationRole, Membership, User
from apps.audit.admin_log import AuditedAdmin
from apps.configuration.admin import VersionedAdmin

_ROLES: tuple[type[Model], ...] = (Membership, InstallationRole)  # end with whose they are
_NEVER_LOOKED_UP = frozenset(
    {
        *("digest", "imported_as", "password", "secret", "client_secret"),
        *("registration_digest", "token", "token_checksum", "sealed"),
    }
)


_also_falling: Final[dict[type[Model], tuple[type[Model], ...]]] = {}


def falls_with(page: type[Model], *models: type[Model]) -> None:
    """Apps above say which rows of theirs go with one of `page` and need no permission for it."""
    known = _also_falling.get(page, ())
    _also_falling[page] = (*known, *(each for each in models if each not in known))


class Rows(ChangeList):
    """A list whose page is filled in by its admin, in a fixed number of queries."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list: Any = list(self.result_list)
        self.model_admin.fill_in(self.result_list)


class PageMixin(AuditedAdmin, Limited):
    """Only rows that may be seen; they are filled in a page at a time; no search by what is secret;
    refusals in plain words."""

    falls_with: ClassVar[tuple[type[Model], ...]] = ()
    """Rows that go with one of this page and need no permission of their own for it."""

    def fill_in(self, rows: Sequence[Any]) -> None:
        """Put onto the rows of one page what their columns show."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return Rows

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        if _NEVER_LOOKED_UP & set(lookup.split("__")):
            return False
        return super().lookup_allowed(lookup, value, request)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What a link fills in; the id of a row is a number."""
        given = super().get_changeform_initial_data(request)
        chosen = set(self.autocomplete_fields)
        return {name: value for name, value in given.items() if name not in chosen or _is_id(value)}

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        found = super().get_deleted_objects(objs, request)
        shown, counts, lacking, protected = found
        going = (*self.falls_with, *_also_falling.get(self.model, ()), *_ROLES)
        names = {model._meta.verbose_name for model in going}
        return shown, counts, {name for name in lacking if name not in names}, protected

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except AccountsError as refused:
            return _again(request, str(refused))
        except IntegrityError:
            return _again(
                request,
                "Somebody else changed this at the same time; nothing was saved. Try again.",
            )


class Page(PageMixin, ModelAdmin):
    """A page of rows that are not part of the configuration."""


class VersionedPage(PageMixin, VersionedAdmin):
    """A page whose changes are revisions of the configuration."""


class ReadOnlyPage(Page):
    """Rows that nobody edits by hand, whatever their permissions."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def actor_of(request: HttpRequest) -> User:
    """Who does it; the admin has let nobody else in."""
    return cast(User, request.user)


def link_to(row: Model | None, text: str | None = None) -> str | SafeString:
    """A link to a row's page, or its name where it has none."""
    if row is None:
        return "–"
    label = str(row) if text is None else text
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    try:
        url = reverse(name, args=[row.pk])
    except NoReverseMatch:
        return label
    return format_html('<a class="cv-link" href="{}">{}</a>', url, label)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19


def _again(request: HttpRequest, message: str) -> HttpResponse:
    messages.error(request, message)
    return HttpResponseRedirect(request.get_full_path())
