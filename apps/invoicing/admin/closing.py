from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.decorators import action, display

from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import actor_of
from apps.invoicing import closing
from apps.invoicing.admin.deeds import DeedsPage, done, may_change, reason_of
from apps.invoicing.admin.forms import MonthForm
from apps.invoicing.models import MonthClose

_COLOURS: Final = {
    "checking": "info", "blocked": "danger", "ready": "warning", "closed": "success",
    "reopened": "", "given_up": "",
}  # fmt: skip


@admin.register(MonthClose)
class MonthCloseAdmin(DeedsPage):
    """Months that are closed, or on the way."""

    list_display = ("month_shown", "state_label", "left", "closed_at", "closed_by", "author_name")
    list_display_links = ("month_shown",)
    list_filter = ("state",)
    search_fields = ("author_name", "closed_by", "reason")
    actions_list: ClassVar[Any] = ("begin",)
    page_template = "invoicing/close.html"
    deeds: ClassVar = {
        "check": "do_check",
        "waive": "do_waive",
        "close": "do_close",
        "reopen": "do_reopen",
        "give_up": "do_give_up",
    }

    @display(description="month", ordering="month")
    def month_shown(self, row: MonthClose) -> str:
        return str(row)

    @display(description="state", ordering="state", label=_COLOURS)
    def state_label(self, row: MonthClose) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @display(description="in the way")
    def left(self, row: MonthClose) -> str:
        if row.state not in ("blocked", "ready"):
            return "–"
        return ", ".join(closing.left_of(row)) or "nothing"

    def shown(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        checks = [{**one, "waiver": row.waivers.get(one["name"])} for one in row.checks]
        return {
            "checks": checks,
            "left": closing.left_of(row),
            "is_open": row.state in ("checking", "blocked", "ready"),
            "is_owner": asking(request).is_owner,
        }

    def has_begin_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return may_change(request)

    @action(description="Close a month", url_path="begin", icon="lock", permissions=["begin"])
    def begin(self, request: HttpRequest) -> HttpResponse:
        """Has the month checked first; it is closed on its own page."""
        if not may_change(request):
            raise PermissionDenied
        form = MonthForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            made: list[MonthClose] = []

            def start() -> str:
                month = form.cleaned_data["month"]
                made.append(closing.begin(month=month, author=actor_of(request).get_username()))
                return "The month is being checked."

            if done(request, start):
                return redirect("admin:invoicing_monthclose_change", made[0].pk)
        intro = (
            "First it is checked: the ledger is proven, no request is open, every journal was "
            "read, providers' bills agree. Then you close it: nothing is booked into it any more, "
            "and corrections are credit notes of the open month."
        )
        return self.ask(request, form, title="Close a month", button="Check it", intro=intro)

    def do_check(self, request: HttpRequest, row: MonthClose) -> str:
        closing.check_again(row=row)
        return "The month is being checked again."

    def do_waive(self, request: HttpRequest, row: MonthClose) -> str:
        name, who = request.POST.get("name", ""), actor_of(request).get_username()
        closing.waive(row=row, name=name, reason=reason_of(request), author=who)
        return "It is waived."

    def do_close(self, request: HttpRequest, row: MonthClose) -> str:
        closing.close(row=row, author=actor_of(request).get_username())
        return f"{row} is closed."

    def do_reopen(self, request: HttpRequest, row: MonthClose) -> str:
        if not asking(request).is_owner:
            raise PermissionDenied
        who = actor_of(request).get_username()
        closing.reopen(row=row, reason=reason_of(request), author=who)
        return f"{row} is open again."

    def do_give_up(self, request: HttpRequest, row: MonthClose) -> str:
        closing.give_up(row=row)
        return "It is given up; the month stays open."
