"""An adjustment by hand, from the page of a request: amounts and reason, a preview, then booked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from apps.accounts.permissions import principal_of
from apps.accounts.roles import Capability
from apps.audit import trail
from apps.billing import ledger
from apps.billing.admin.money import UsdField
from apps.billing.models import LedgerEntry
from apps.usage.models import RequestLog
from chatvault.lib import clock
from chatvault.lib.errors import PeriodClosed
from chatvault.lib.money import format_usd

_LEAST = Decimal(-(10**9))


class AdjustForm(forms.Form):
    charged = UsdField(
        min_value=_LEAST, label="Change of what the client is charged",
        help_text="USD, up to nine places. Negative gives back: -0.25 credits 25 cents.",
    )  # fmt: skip
    cost = UsdField(
        min_value=_LEAST, required=False, empty=0, label="Change of what it cost",
        help_text="USD; empty where the provider's price was right, as with goodwill.",
    )  # fmt: skip
    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget(),
        help_text="Kept with the entry for ever. For example: goodwill after the outage.",
    )  # fmt: skip
    as_credit_note = forms.BooleanField(
        required=False, label="As a credit note", widget=UnfoldBooleanSwitchWidget(),
        help_text="Dated now instead of when the request was made; closed months take nothing "
        "else.",
    )  # fmt: skip
    token = forms.UUIDField(widget=forms.HiddenInput())

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors and not (cleaned["charged"] or cleaned["cost"]):
            self.add_error("charged", "Nothing would change.")
        return cleaned


def may_adjust(user: Any) -> bool:
    """Whoever handles the money of the whole installation; a team does not credit itself."""
    return principal_of(user).may(Capability.BILLING_WRITE)


def adjust_page(request: HttpRequest, row: RequestLog, site: dict[str, Any]) -> HttpResponse:
    """The form, the preview of what it says, or the booking."""
    if not may_adjust(request.user):
        raise PermissionDenied
    context = site | {"row": row, "title": "Adjust a request", "subtitle": str(row.request_id)}
    now = _amounts(row)
    form = AdjustForm(request.POST or None, initial={"token": uuid4()})
    if request.method == "POST" and form.is_valid():
        if "confirm" in request.POST:
            try:
                _book(row, form.cleaned_data, str(request.user))
            except (ValueError, LedgerEntry.DoesNotExist) as refused:
                form.add_error("as_credit_note" if _is_closed(refused) else None, str(refused))
            else:
                return redirect("admin:usage_requestlog_change", row.pk)
        else:
            context["preview"] = _preview(now, form)
    charged, cost = now
    told = {"form": form, "charged": format_usd(charged), "cost": format_usd(cost)}
    return TemplateResponse(request, "usage/adjust.html", context | told)


@transaction.atomic
def _book(row: RequestLog, asked: dict[str, Any], author: str) -> None:
    """Once, however often the button is pressed. Raises what `ledger.adjust` raises."""
    batch_id = f"manual:{asked['token']}"
    if LedgerEntry.objects.filter(batch_id=batch_id).exists():
        return
    ledger.adjust(
        request_id=row.request_id,
        charged_delta=asked["charged"],
        cost_delta=asked["cost"],
        author=author,
        reason=asked["reason"],
        batch_id=batch_id,
        booked_at=clock.now() if asked["as_credit_note"] else None,
    )
    trail.record(
        "ledger.adjusted",
        target=row,
        team_id=row.team_id,
        after={
            "charged_delta_nano": asked["charged"],
            "cost_delta_nano": asked["cost"],
            "reason": asked["reason"],
        },
    )


def _amounts(row: RequestLog) -> tuple[int, int]:
    """Charged and cost with all corrections so far."""
    sums = {"client": 0, "provider": 0}
    entries = LedgerEntry.objects.filter(request_id=row.request_id, account__in=sums)
    for account, amount in entries.values_list("account", "amount_nano"):
        sums[account] += amount
    return -sums["client"], sums["provider"]


def _preview(now: tuple[int, int], form: AdjustForm) -> dict[str, Any]:
    charged, cost = form.cleaned_data["charged"], form.cleaned_data["cost"]
    return {
        "rows": [
            ("Charged", format_usd(now[0]), format_usd(charged), format_usd(now[0] + charged)),
            ("Cost", format_usd(now[1]), format_usd(cost), format_usd(now[1] + cost)),
            (
                "Margin",
                format_usd(now[0] - now[1]),
                format_usd(charged - cost),
                format_usd(now[0] - now[1] + charged - cost),
            ),
        ],
        "is_too_much": now[0] + charged < 0 or now[1] + cost < 0,
    }


def _is_closed(refused: Exception) -> bool:
    return isinstance(refused, PeriodClosed)
