"""Pages of one row with buttons of their own: each is a service, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import ReadOnlyPage
from apps.accounts.roles import Capability
from chatvault.lib.errors import ChatVaultError


class DeedsPage(ReadOnlyPage):
    """`deeds` maps what a button's `do` says to a method of the request and the row, which returns
    what to tell. Who may change billing for the whole installation presses them."""

    page_template: ClassVar[str]
    deeds: ClassVar[Mapping[str, str]] = {}

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        if request.method == "POST":
            return self._do(request, row)
        context = self.admin_site.each_context(request) | {
            "title": str(row),
            "opts": self.opts,
            "original": row,
            "row": row,
            "may_change": may_change(request),
            "media": self.media,
        }
        return TemplateResponse(request, self.page_template, context | self.shown(request, row))

    def shown(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the page's template needs besides the row."""
        return {}

    def _do(self, request: HttpRequest, row: Any) -> HttpResponse:
        name = self.deeds.get(request.POST.get("do", ""))
        if name is None or not may_change(request):
            raise PermissionDenied
        perform: Callable[[HttpRequest, Any], str] = getattr(self, name)
        done(request, lambda: perform(request, row))
        return HttpResponseRedirect(request.get_full_path())

    def ask(
        self, request: HttpRequest, form: forms.Form, *, title: str, button: str, intro: str
    ) -> HttpResponse:
        """A page that is nothing but a form."""
        context = self.admin_site.each_context(request) | {
            "title": title,
            "opts": self.opts,
            "form": form,
            "button": button,
            "intro": intro,
            "media": self.media,
        }
        return TemplateResponse(request, "invoicing/form.html", context)


def may_change(request: HttpRequest) -> bool:
    return asking(request).may(Capability.BILLING_WRITE)


def done(request: HttpRequest, perform: Callable[[], str]) -> bool:
    """All of it, or nothing and why not, in plain words."""
    try:
        with transaction.atomic():
            text = perform()
    except ChatVaultError as refused:
        messages.error(request, refused.message)
        return False
    messages.success(request, text)
    return True


def reason_of(request: HttpRequest) -> str:
    return request.POST.get("reason", "")[:300]
