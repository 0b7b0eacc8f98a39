"""Who has to wait after failures; each can be let try again."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from apps.accounts.admin.pages import ReadOnlyPage
from apps.sign_in import backoff
from apps.sign_in.models import FailedSignIns
from chatvault.lib import clock


@admin.register(FailedSignIns)
class FailedSignInsAdmin(ReadOnlyPage):
    """Failures in a row, by account and by address."""

    list_display = ("subject", "kind", "state", "failures", "first_at", "last_at", "locked_until")
    list_filter = (("kind", ChoicesDropdownFilter),)
    list_filter_submit = True
    search_fields = ("subject",)
    actions = ("lift",)

    @display(description="state", label={"waits": "danger", "may try": "success"})
    def state(self, row: FailedSignIns) -> str:
        waits = row.locked_until is not None and row.locked_until > clock.now()
        return "waits" if waits else "may try"

    def has_lift_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("sign_in.change_failedsignins"))

    @admin.action(description="Forget their failures: let them try now", permissions=["lift"])
    def lift(self, request: HttpRequest, queryset: QuerySet[FailedSignIns]) -> None:
        self.message_user(request, f"{backoff.lift(queryset)} may try again.")
