"""The self-audit: what was verified when, what differed, and what puts it right."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from apps.configuration.admin.job_runs import duration_text
from apps.usage import repair, self_audit
from apps.usage.admin import job_progress
from apps.usage.admin.read_only import ReadOnlyAdmin
from apps.usage.figures import count_text, instant_text
from apps.usage.models import LedgerCheck

MEANINGS: Final = {
    "balanced": "Double entry: what one account gives, others receive.",
    "charged": "Amount, time, team, client and key of each request are those of its charge.",
    "known": "Nothing is charged for a request that is not in the log.",
    "credited": "With all its corrections a request costs its client nothing or more.",
    "duplicates": "The log has each request once.",
    "traceable": "Every correction says who made it and why.",
    "adjusted": "A correction concerns whom its charge concerned.",
    "gaps": "Corrections are numbered; none was taken away.",
    "rollups": "Hourly sums, which reports read, are computed again from the rows.",
    "tags": "The same of the sums by tag.",
    "latencies": "The same of the histograms from which percentiles come.",
    "days": "Sums of days, which reports of months read, are those of their hours and corrections.",
    "budgets": "What budgets have spent is summed again from the ledger.",
    "orphans": "No reservation is held by a request that nobody will end.",
    "segments": "Every part of the gateways' journals has been read.",
    "repricings": "What a repricing booked is what was approved; undone, it is the opposite.",
    "formula": "Costs are computed again from price version, terms and counts.",
}


@admin.register(LedgerCheck)
class LedgerCheckAdmin(ReadOnlyAdmin):
    """Every night the books are verified; here is what was found."""

    list_display = ("started", "verdict", "checks", "differing", "found", "duration", "who")
    list_display_links = ("started",)
    list_filter = ("is_clean", ("started_at", RangeDateTimeFilter))
    list_filter_submit = True
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_before_template = "usage/self_audits.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("findings")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("run/", view(self.run_view), name="usage_ledgercheck_run"),
            path("progress/", view(self.progress_view), name="usage_ledgercheck_progress"),
            path(
                "<path:object_id>/repair/", view(self.repair_view), name="usage_ledgercheck_repair"
            ),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        run = self_audit.latest_run()
        context = job_progress.context_of(run, reverse("admin:usage_ledgercheck_progress"))
        if run is not None and not context["is_underway"]:
            context["run"] = None  # how it ended is in the list
        context |= {"title": "Self-audit", "may_run": self._may_change(request)}
        return super().changelist_view(request, context | (extra_context or {}))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Shown, never edited."""
        check = self.get_object(request, object_id)
        if check is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, check):
            raise PermissionDenied
        context = self.admin_site.each_context(request) | {
            "title": "Self-audit",
            "subtitle": instant_text(check.started_at),
            "opts": self.opts,
            "original": check,
            "media": self.media,
            "took": duration_text(check.took),
            "findings": [_shown(finding) for finding in check.findings],
            "may_repair": self._may_change(request),
        }
        return TemplateResponse(request, "usage/self_audit.html", context)

    def run_view(self, request: HttpRequest) -> HttpResponse:
        self._require_change(request)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        is_for_sums = request.POST.get("what") == "sums"
        ask = self_audit.ask_for_sums if is_for_sums else self_audit.ask
        doing = (
            "All sums are being computed anew" if is_for_sums else "The books are being verified"
        )
        told = f"{doing}." if ask(str(request.user)) else "It waits for a worker already."
        self.message_user(request, told)
        return redirect("admin:usage_ledgercheck_changelist")

    def progress_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        url = reverse("admin:usage_ledgercheck_progress")
        return job_progress.answer(request, self_audit.latest_run(), url)

    def repair_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Of an example that this check found, never of what a form says."""
        self._require_change(request)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        check = self.get_object(request, object_id)
        if check is None:
            raise Http404
        asked = (request.POST.get("kind", ""), request.POST.get("ref", ""))
        found = {
            (example["kind"], example["ref"])
            for finding in check.findings
            for example in finding["examples"]
        }
        try:
            if asked not in found:
                raise repair.NotRepairable("This check found no such difference.")
            self.message_user(request, repair.repair(*asked))
        except repair.NotRepairable as refused:
            self.message_user(request, str(refused), level="error")
        return redirect("admin:usage_ledgercheck_change", check.pk)

    def _may_change(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("usage.change_ledgercheck"))

    def _require_change(self, request: HttpRequest) -> None:
        if not self._may_change(request):
            raise PermissionDenied

    @admin.display(description="time", ordering="started_at")
    def started(self, check: LedgerCheck) -> str:
        return instant_text(check.started_at)

    @display(
        description="verdict",
        ordering="is_clean",
        label={"clean": "success", "differs": "danger"},
    )
    def verdict(self, check: LedgerCheck) -> tuple[str, str]:
        return ("clean", "Everything agrees") if check.is_clean else ("differs", "Differences")

    @admin.display(description="differences", ordering="differences")
    def found(self, check: LedgerCheck) -> str:
        return count_text(check.differences)

    @admin.display(description="took")
    def duration(self, check: LedgerCheck) -> str:
        return duration_text(check.took)

    @admin.display(description="asked by", ordering="asked_by")
    def who(self, check: LedgerCheck) -> str:
        return check.asked_by or "timetable"


def _shown(finding: dict[str, Any]) -> dict[str, Any]:
    examples = [
        example | {"link": _link(example), "is_repairable": example["kind"] in repair.KINDS}
        for example in finding["examples"]
    ]
    return finding | {
        "meaning": MEANINGS.get(finding["code"], ""),
        "checked": count_text(finding["checked"]),
        "differences": count_text(finding["differences"]),
        "is_clean": not finding["differences"],
        "examples": examples,
    }


def _link(example: dict[str, Any]) -> str:
    """The page that shows the row."""
    kind, ref = example["kind"], example["ref"]
    if kind == "request":
        return reverse("admin:billing_ledgerentry_changelist") + f"?q={ref}"
    if kind == "budget":
        return reverse("admin:billing_budget_change", args=[ref.partition(" ")[0]])
    if kind == "segment":
        return reverse("admin:usage_journalcursor_changelist")
    if kind in ("hour", "day"):
        day = ref[:10]
        return (
            reverse("admin:usage_requestlog_changelist")
            + f"?started_at_from_0={day}&started_at_from_1={ref[11:16]}"
        )
    return ""
