"""What the public catalogue says differently, to be looked at and decided on."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from apps.accounts.admin.pages import VersionedPage
from apps.billing import catalogue
from apps.billing.models import CatalogueChange
from apps.billing.rate_words import name_of, shown
from chatvault.lib import clock

_NAMES: Final = {"max_output_tokens": "tokens"}
_COLOURS: Final = {"open": "warning", "taken": "success", "dismissed": "", "gone": ""}


@admin.register(CatalogueChange)
class CatalogueChangeAdmin(VersionedPage):
    """Proposals. Taking one over is a change of the configuration with its author."""

    list_display = ("subject", "kind", "difference", "state_label", "found_at")
    list_display_links = None
    list_filter = ("state", "kind", "book")
    list_select_related = ("book", "deployment")
    list_per_page = 50
    search_fields = ("model", "book__name", "deployment__name")
    actions = ("take_over", "dismiss")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Those who may change what the proposals are about."""
        wanted = ("billing.change_cataloguechange", "billing.add_price", "billing.change_price")
        return request.user.has_perms((*wanted, "providers.change_deployment"))

    @admin.display(description="of", ordering="model")
    def subject(self, row: CatalogueChange) -> SafeString:
        where = row.deployment or row.book
        return format_html('{}<span class="cv-under">{}</span>', row.model, where)

    @admin.display(description="per 1 M tokens: ours → catalogue")
    def difference(self, row: CatalogueChange) -> SafeString:
        pairs = [
            (_NAMES.get(name, name_of(name)), shown(name, row.ours.get(name)), shown(name, new))
            for name, new in row.listed.items()
            if row.ours.get(name) != new
        ]
        return format_html_join("", '<span class="cv-under">{}: {} → {}</span>', pairs)

    @display(description="state", ordering="state", label=_COLOURS)
    def state_label(self, row: CatalogueChange) -> tuple[str, str]:
        return row.state, row.get_state_display()

    @admin.action(description="Take over what the catalogue says", permissions=["decide"])
    def take_over(self, request: HttpRequest, queryset: QuerySet[CatalogueChange]) -> None:
        rows = queryset.select_related("book", "deployment")
        count = catalogue.take_over(rows=rows, now=clock.now())
        messages.success(request, f"{count} proposals were taken over.")

    @admin.action(description="Dismiss", permissions=["decide"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[CatalogueChange]) -> None:
        count = catalogue.dismiss(rows=queryset, now=clock.now())
        messages.success(request, f"{count} proposals were dismissed.")
