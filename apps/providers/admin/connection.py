"""*Test connection*: an action of lists and a button of forms."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin

from apps.configuration.admin import VersionedAdmin
from apps.providers import services
from apps.providers.admin.provider_form import why_forbidden
from apps.providers.models import Credential, Deployment

MOST_AT_ONCE = 10


class TestsConnection(VersionedAdmin):
    """A versioned page whose rows can be asked whether they work.

    Asking takes seconds and writes nothing, so it happens outside of the transaction that a
    versioned page opens: others may write meanwhile.
    """

    change_form_outer_before_template = "providers/test_connection.html"
    test_explanation: ClassVar[str] = ""

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.method == "POST" and request.POST.get("action") == "test_connection":
            return ModelAdmin.changelist_view(self, request, *args, **kwargs)
        return super().changelist_view(request, *args, **kwargs)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        context = dict(extra_context or {})
        if object_id is not None and self.has_change_permission(request):
            context["test_url"] = reverse(f"admin:{self._test_name}", args=[object_id])
            context["test_explanation"] = self.test_explanation
        return super().changeform_view(request, object_id, form_url, context)

    @property
    def _test_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_test"

    def get_urls(self) -> list[URLPattern]:
        test = path(
            "<path:object_id>/test/",
            self.admin_site.admin_view(self.test_view),
            name=self._test_name,
        )
        return [test, *super().get_urls()]

    def test_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        self._tell(request, row)
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", object_id)

    @admin.action(description="Test connection", permissions=["change"])
    def test_connection(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        rows = list(queryset[: MOST_AT_ONCE + 1])
        for row in rows[:MOST_AT_ONCE]:
            self._tell(request, row)
        if len(rows) > MOST_AT_ONCE:
            messages.warning(request, f"Only the first {MOST_AT_ONCE} were tested.")

    def _tell(self, request: HttpRequest, row: Credential | Deployment) -> None:
        result = services.test_connection(row)
        text = result.message
        if result.is_forbidden and (why := why_forbidden(row.provider.base_url)):
            text = f"{why} Nothing was sent."
        level = messages.SUCCESS if result.is_ok else messages.ERROR
        messages.add_message(request, level, f"{row}: {text}")
