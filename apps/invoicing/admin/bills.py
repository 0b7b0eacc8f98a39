from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import action, display

from apps.accounts.admin.pages import Page, actor_of
from apps.audit import trail
from apps.billing.admin.money import MoneyMedia
from apps.configuration import job_queue
from apps.invoicing import bills, booking, importing, reconcile
from apps.invoicing.admin.deeds import DeedsPage, done, may_change, reason_of
from apps.invoicing.admin.forms import BillForm
from apps.invoicing.admin.shown import bill_page
from apps.invoicing.errors import InvoicingError
from apps.invoicing.models import Bill, BillAdjustment, MatchRule
from chatvault.lib.money import format_usd

_COLOURS: Final = {
    "waiting": "info", "refused": "danger", "read": "warning", "counted": "success",
    "discarded": "",
}  # fmt: skip


@admin.register(Bill)
class BillAdmin(DeedsPage):
    """What providers bill, beside what the ledger says."""

    Media = MoneyMedia
    list_display = ("whose", "days", "state_label", "billed", "cost", "drift", "file_name", "by")
    list_display_links = ("whose",)
    list_filter = (
        "provider_name", ("state", ChoicesDropdownFilter), "is_drifting",
        ("starts_on", RangeDateFilter),
    )  # fmt: skip
    list_filter_submit = True
    search_fields = ("provider_name", "file_name", "digest")
    actions_list: ClassVar[Any] = ("import_bill",)
    page_template = "invoicing/bill.html"
    deeds: ClassVar = {
        "accept": "do_accept",
        "discard": "do_discard",
        "read": "do_read",
        "compare": "do_compare",
        "adjust": "do_adjust",
        "undo": "do_undo",
        "resume": "do_resume",
    }

    @display(description="provider", ordering="provider_name")
    def whose(self, bill: Bill) -> str:
        return bill.provider_name

    @display(description="days", ordering="starts_on")
    def days(self, bill: Bill) -> str:
        return f"{bill.starts_on:%Y-%m-%d} – {bill.ends_on:%Y-%m-%d}" if bill.has_days else "–"

    @display(description="state", ordering="state", label=_COLOURS)
    def state_label(self, bill: Bill) -> tuple[str, str]:
        return bill.state, bill.get_state_display()

    @display(description="billed", ordering="usd_nano")
    def billed(self, bill: Bill) -> str:
        return format_usd(bill.usd_nano, 2) if bill.row_count else "–"

    @display(description="our cost", ordering="cost_nano")
    def cost(self, bill: Bill) -> str:
        return format_usd(bill.cost_nano, 2) if bill.compared_at else "–"

    @display(description="drift")
    def drift(self, bill: Bill) -> str:
        if bill.compared_at is None:
            return "–"
        share = reconcile.percent(bill.drift_nano, bill.matched_usd_nano)
        text = format_usd(bill.drift_nano, 2)
        return f"{text} ({share} %)" if share is not None else text

    @display(description="imported by", ordering="author_name")
    def by(self, bill: Bill) -> str:
        return bill.author_name

    def shown(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        return bill_page(row)

    def has_import_bill_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return may_change(request)

    @action(
        description="Import a bill", url_path="import", icon="upload", permissions=["import_bill"]
    )
    def import_bill(self, request: HttpRequest) -> HttpResponse:
        """Keeps the file and has it read; nothing of it counts yet."""
        if not may_change(request):
            raise PermissionDenied
        form = BillForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            made: list[Bill] = []
            file = form.cleaned_data["file"]

            def take() -> str:
                bill = importing.take(
                    provider=form.cleaned_data["provider"],
                    file_name=file.name,
                    data=file.read(),
                    terms=form.terms,
                    author=actor_of(request).get_username(),
                )
                made.append(bill)
                return "The file is being read. Nothing of it counts before you accept it."

            if done(request, take):
                return redirect("admin:invoicing_bill_change", made[0].pk)
        formats = ", ".join(title for title, _ in bills.FORMATS.values())
        intro = f"{formats}. A job reads the file; you see all of it before anything counts."
        return self.ask(request, form, title="Import a bill", button="Import", intro=intro)

    def do_accept(self, request: HttpRequest, bill: Bill) -> str:
        importing.accept(bill=bill)
        return "The bill counts now, and is being compared with our cost."

    def do_discard(self, request: HttpRequest, bill: Bill) -> str:
        importing.discard(bill=bill)
        return "The bill is discarded; its file can be imported again."

    def do_read(self, request: HttpRequest, bill: Bill) -> str:
        importing.read_again(bill=bill)
        return "The file is being read again."

    def do_compare(self, request: HttpRequest, bill: Bill) -> str:
        if bill.state != Bill.State.COUNTED:
            raise InvoicingError("Only an accepted bill is compared.")
        trail.record("bill.compared", target=bill)
        job_queue.enqueue("compare-bill", "apps.invoicing.tasks.compare_bill", {"bill_id": bill.pk})
        return "The bill is being compared again."

    def do_adjust(self, request: HttpRequest, bill: Bill) -> str:
        made = booking.begin(
            bill=bill,
            reason=reason_of(request),
            author=actor_of(request).get_username(),
            with_unbilled=request.POST.get("with_unbilled") == "on",
        )
        return f"{format_usd(made.amount_nano)} are being added to our cost."

    def do_undo(self, request: HttpRequest, bill: Bill) -> str:
        booking.begin_undo(made=self._standing(bill), author=actor_of(request).get_username())
        return "The adjustment is being undone, by opposite entries."

    def do_resume(self, request: HttpRequest, bill: Bill) -> str:
        booking.resume(made=self._standing(bill))
        return "The adjustment goes on where it was."

    def _standing(self, bill: Bill) -> BillAdjustment:
        found = bill.adjustments.exclude(state=BillAdjustment.State.UNDONE).first()
        if found is None:
            raise InvoicingError("There is no adjustment of this bill.")
        return found


@admin.register(MatchRule)
class MatchRuleAdmin(Page):
    """Names on bills, and which of our models they mean."""

    list_display = ("billed_model", "model_shown", "provider", "created_at")
    list_filter = ("provider",)
    list_select_related = ("provider",)
    search_fields = ("billed_model", "model")
    fields = ("provider", "billed_model", "model")

    @display(description="our model", ordering="model")
    def model_shown(self, rule: MatchRule) -> str:
        return rule.model or "not ours"
