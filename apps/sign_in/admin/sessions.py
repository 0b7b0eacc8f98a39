"""Who is signed in, and where from; each can be ended."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from apps.accounts.admin.pages import ReadOnlyPage
from apps.sign_in import services
from apps.sign_in.models import PersonSession


@admin.register(PersonSession)
class PersonSessionAdmin(ReadOnlyPage):
    """Sessions of people. Ended ones are over with their next request."""

    list_display = ("user", "browser", "address", "started_at", "seen_at", "way", "second_factors")
    fields = ("user", "browser", "address", "started_at", "seen_at", "way", "expire_date")
    readonly_fields = fields
    list_filter = ("way", ("seen_at", RangeDateTimeFilter))
    list_filter_submit = True
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email", "address")
    actions = ("end", "end_all_of_person")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PersonSession]:
        rows: QuerySet[PersonSession] = super().get_queryset(request)
        rows = rows.filter(user__isnull=False).defer("session_data")
        return rows.prefetch_related("user__authenticator_set")

    @display(description="second factors")
    def second_factors(self, session: PersonSession) -> str:
        user: Any = session.user
        kinds = {each.get_type_display() for each in user.authenticator_set.all()}
        return ", ".join(sorted(str(kind) for kind in kinds)) or "none"

    def has_end_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("sign_in.delete_personsession"))

    @admin.action(description="End these sessions", permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[PersonSession]) -> None:
        count = services.end_sessions(sessions=list(queryset.select_related("user")))
        self.message_user(request, f"{count} sessions were ended.")

    @admin.action(description="Sign these people out everywhere", permissions=["end"])
    def end_all_of_person(self, request: HttpRequest, queryset: QuerySet[PersonSession]) -> None:
        people = {each.user for each in queryset.select_related("user") if each.user}
        count = sum(services.sign_out_everywhere(user=user) for user in people)
        self.message_user(request, f"{count} sessions of {len(people)} people were ended.")
