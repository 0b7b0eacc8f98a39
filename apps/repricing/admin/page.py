"""Repricings: chosen by a form, looked at as a dry run, approved and undone by buttons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    StreamingHttpResponse,
)
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import display

from apps.accounts.admin.pages import Page, actor_of
from apps.accounts.models import User
from apps.billing.admin.money import MoneyMedia
from apps.billing.words import short_places
from apps.repricing import services, tables
from apps.repricing.admin import shown
from apps.repricing.admin.form import RepricingForm
from apps.repricing.errors import RepricingRefused
from apps.repricing.models import Repricing
from apps.usage.admin import job_progress
from apps.usage.figures import count_text

State = Repricing.State
_STEPS: Final[dict[str, Callable[[Repricing, User], None]]] = {
    "approve": lambda one, who: services.approve(one, approver=who, approver_name=str(who)),
    "undo": lambda one, who: services.undo(one, undoer_name=str(who)),
    "check": lambda one, who: services.check_again(one),
    "withdraw": lambda one, who: services.withdraw(one),
    "go-on": lambda one, who: services.go_on(one),
}


@admin.register(Repricing)
class RepricingAdmin(Page):
    form = RepricingForm
    Media = MoneyMedia
    fieldsets = (
        (None, {"fields": ("reason", "starts_at", "ends_at")}),
        ("Which requests", {"fields": ("team", "client", "alias", "model", "provider_name")}),
        ("Priced by", {"fields": ("basis", "book", "terms", "prices_at")}),
        ("How it is booked", {"fields": ("as_credit_note",)}),
    )
    list_display = ("title", "state_label", "range", "requests", "charged", "cost", "people")
    list_display_links = ("title",)
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("basis", ChoicesDropdownFilter),
        ("starts_at", RangeDateTimeFilter),
    )
    list_filter_submit = True
    search_fields = ("reason", "author_name", "approver_name", "alias", "model")
    search_help_text = "By reason, author, approver, alias or model"
    show_full_result_count = False
    actions = None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        self._check(request, "add", obj)
        who = actor_of(request)
        services.begin(obj, author=who, author_name=str(who))

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> Any:
        self.message_user(request, "The dry run has begun. Nothing is booked before you approve.")
        return redirect("admin:repricing_repricing_change", obj.pk)

    def get_urls(self) -> list[URLPattern]:
        view, name = self.admin_site.admin_view, "repricing_repricing"
        return [
            path("<path:object_id>/do/<str:step>/", view(self.step_view), name=f"{name}_step"),
            path("<path:object_id>/progress/", view(self.progress_view), name=f"{name}_progress"),
            path("<path:object_id>/<str:what>.csv", view(self.csv_view), name=f"{name}_csv"),
            *super().get_urls(),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """A row is shown, never edited."""
        if object_id is None:
            return super().changeform_view(request, None, form_url, extra_context)
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {
            "title": f"Repricing {row.pk}",
            "subtitle": row.reason,
            "opts": self.opts,
            "original": row,
            "media": self.media,
            "may_change": self._may_write(request),
        }
        page = context | shown.context_of(row)
        return TemplateResponse(request, "repricing/repricing.html", page)

    def step_view(self, request: HttpRequest, object_id: str, step: str) -> HttpResponse:
        if not self._may_write(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, object_id)
        if row is None or step not in _STEPS:
            raise Http404
        try:
            _STEPS[step](row, actor_of(request))
        except RepricingRefused as refused:
            self.message_user(request, str(refused), level="error")
        return redirect("admin:repricing_repricing_change", row.pk)

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self._seen(request, object_id)
        return job_progress.answer(request, shown.latest_run(row), shown.progress_url(row))

    def csv_view(self, request: HttpRequest, object_id: str, what: str) -> HttpResponse:
        row = self._seen(request, object_id)
        writers = {"lines": tables.lines_csv, "requests": tables.requests_csv}
        if what not in writers:
            raise Http404
        answer = StreamingHttpResponse(writers[what](row), content_type="text/csv; charset=utf-8")
        name = f"repricing-{row.pk}-{what}.csv"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer  # type: ignore[return-value]

    def _seen(self, request: HttpRequest, object_id: str) -> Repricing:
        row: Repricing | None = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def _may_write(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("repricing.change_repricing"))

    @display(description="repricing", header=True, ordering="id")
    def title(self, row: Repricing) -> tuple[str, str]:
        return f"{row.pk}: {row.reason}", row.get_basis_display()

    @display(
        description="state",
        ordering="state",
        label={
            State.CHECKING: "info",
            State.CHECKED: "warning",
            State.APPROVED: "info",
            State.BOOKED: "success",
            State.UNDOING: "info",
        },
    )
    def state_label(self, row: Repricing) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @admin.display(description="requests from … until", ordering="starts_at")
    def range(self, row: Repricing) -> str:
        return f"{row.starts_at:%Y-%m-%d %H:%M} – {row.ends_at:%Y-%m-%d %H:%M}"

    @admin.display(description="changed")
    def requests(self, row: Repricing) -> str:
        return count_text(row.count("changed")) if row.checked_at else "–"

    @admin.display(description="charged")
    def charged(self, row: Repricing) -> str:
        return _short(row, row.charged_delta_nano)

    @admin.display(description="cost")
    def cost(self, row: Repricing) -> str:
        return _short(row, row.cost_delta_nano)

    @display(description="author, approver", header=True)
    def people(self, row: Repricing) -> tuple[str, str]:
        return row.author_name or "–", row.approver_name


def _short(row: Repricing, nano: int) -> str:
    return shown.delta_text(nano, short_places([nano])) if row.checked_at else "–"
