from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import action, display

from apps.accounts.admin.limited import asking
from apps.accounts.admin.pages import actor_of
from apps.billing.admin.ledger import TeamFilter
from apps.billing.admin.money import MoneyMedia
from apps.billing.words import short_usd
from apps.configuration import job_queue
from apps.invoicing import documents, files, statements
from apps.invoicing.admin.deeds import DeedsPage, done, may_change
from apps.invoicing.admin.forms import IssueForm
from apps.invoicing.models import Statement
from apps.invoicing.permissions import may_see_margins
from chatvault.lib.money import format_usd, places_of, usd_from_nano


@admin.register(Statement)
class StatementAdmin(DeedsPage):
    """Numbered documents; a team's people see those of their team."""

    Media = MoneyMedia
    list_display = ("reference", "kind_label", "team_name", "client_name", "month", "total",
                    "in_currency", "issued_at")  # fmt: skip
    list_display_links = ("reference",)
    list_filter = (TeamFilter, ("kind", ChoicesDropdownFilter), ("starts_at", RangeDateFilter))
    list_filter_submit = True
    search_fields = ("reference", "team_name", "client_name")
    actions_list: ClassVar[Any] = ("issue",)
    page_template = "invoicing/statement.html"

    @display(description="total", ordering="total_nano")
    def total(self, row: Statement) -> str:
        return short_usd(row.total_nano)

    @display(description="kind", ordering="kind", label={"statement": "info"})
    def kind_label(self, row: Statement) -> tuple[str, str]:
        return row.kind, row.get_kind_display()

    @display(description="month", ordering="starts_at")
    def month(self, row: Statement) -> str:
        return files.month_text(row)

    @display(description="in its currency")
    def in_currency(self, row: Statement) -> str:
        if row.currency == "USD":
            return "–"
        return f"{usd_from_nano(row.total_currency_nano):.2f} {row.currency}"

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<path:object_id>/file/<str:form>/",
            self.admin_site.admin_view(self.file_view),
            name="invoicing_statement_file",
        )
        return [own, *super().get_urls()]

    def file_view(self, request: HttpRequest, object_id: str, form: str) -> HttpResponse:
        """The document as it was issued."""
        row = self.get_object(request, object_id)
        margins = "margins" in request.GET
        if row is None or (margins and not may_see_margins(asking(request))):
            raise Http404
        return files.download(row, form, shows_margins=margins)

    def shown(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        margins = may_see_margins(asking(request))
        return {
            "margins": margins,
            "month": files.month_text(row),
            **_table(row, margins),
            "totals": _totals(row, margins),
            "notes": list(row.credit_notes.all()),
            "digests": [
                {"name": f"{f.form.upper()}{' with margins' if f.shows_margins else ''}",
                 "digest": f.digest, "url": _url(row, f)}
                for f in row.files.defer("content").order_by("shows_margins", "-form")
                if margins or not f.shows_margins
            ],
        }  # fmt: skip

    def has_issue_permission(self, request: HttpRequest, object_id: str = "") -> bool:
        return may_change(request)

    @action(description="Issue", url_path="issue", icon="receipt_long", permissions=["issue"])
    def issue(self, request: HttpRequest) -> HttpResponse:
        """Of one team at once, of all of them in a job."""
        if not may_change(request):
            raise PermissionDenied
        form = IssueForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            author = actor_of(request).get_username()
            if given["team"] is None:
                arguments = {"month": str(given["month"]), "currency": given["currency"],
                             "author": author}  # fmt: skip
                job_queue.enqueue(
                    "issue-statements", "apps.invoicing.tasks.issue_statements", arguments
                )
                messages.success(request, "The statements are being issued: see Job runs.")
                return redirect("admin:invoicing_statement_changelist")
            documents.prepare()
            if done(request, lambda: f"{_issued(given, author)} is issued."):
                return redirect("admin:invoicing_statement_changelist")
        intro = (
            "A statement is of a month that is over. It gets the next number and never changes: "
            "what is corrected later comes as a credit note with the statement of the next month."
        )
        return self.ask(request, form, title="Issue statements", button="Issue", intro=intro)


def _issued(given: dict[str, Any], author: str) -> Statement:
    whose = {"team": given["team"], "client": given["client"], "author": author}
    if given["is_credit_note"]:
        return statements.issue_credit_note(**whose)
    return statements.issue(month=given["month"], currency=given["currency"], **whose)


def _table(row: Statement, margins: bool) -> dict[str, Any]:
    """The lines with their sum. Columns of amounts in which there is nothing are left out."""
    rows = list(row.lines.all())
    counts = {
        name: [getattr(line, field) for line in rows]
        for name, field in (
            ("Requests", "requests"), ("Tokens in", "input_tokens"), ("Tokens out", "output_tokens")
        )
    }  # fmt: skip
    amounts = {
        "Charged": [line.charged_nano for line in rows],
        "Adjusted": [line.adjusted_nano for line in rows],
        "Credited": [line.credited_nano for line in rows],
        "Total": [line.total_nano for line in rows],
    }
    amounts = {name: n for name, n in amounts.items() if name in ("Charged", "Total") or any(n)}
    if margins:
        amounts["Cost"] = [line.cost_nano for line in rows]
        amounts["Margin"] = [line.total_nano - line.cost_nano for line in rows]
    columns = [[f"{n:,}" for n in (*column, sum(column))] for column in counts.values()]
    for column in amounts.values():
        places = places_of(column)
        columns.append(
            [format_usd(nano, places) if nano else "–" for nano in (*column, sum(column))]
        )
    *cells, sums = zip(*columns, strict=True)
    return {
        "columns": [*counts, *amounts],
        "lines": [
            {"client": line.client_name, "model": line.model or "–", "cells": each}
            for line, each in zip(rows, cells, strict=True)
        ],
        "sums": sums,
    }


def _totals(row: Statement, margins: bool) -> list[tuple[str, str]]:
    found = [
        ("Charged in the month", format_usd(row.charged_nano)),
        ("Adjustments", format_usd(row.adjusted_nano)),
        ("Credit notes", format_usd(row.credited_nano)),
        ("Total", format_usd(row.total_nano)),
    ]
    if row.rate is not None and row.rate_day is not None:
        amount = f"{usd_from_nano(row.total_currency_nano):.9f} {row.currency}"
        rate = f"1 {row.currency} = {row.rate.normalize():f} USD on {row.rate_day:%Y-%m-%d}"
        found.append((rate, amount))
    if margins:
        found += [
            ("Cost", format_usd(row.cost_nano)),
            ("Margin", format_usd(row.total_nano - row.cost_nano)),
        ]
    return found


def _url(row: Statement, file: Any) -> str:
    url = reverse("admin:invoicing_statement_file", args=[row.pk, file.form])
    return f"{url}?margins" if file.shows_margins else url
