"""The nodes with gateways, and what Redis says their processes hold."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.timesince import timesince
from unfold.decorators import display

from apps.billing import shared_limits
from apps.billing.limits.redis.books import OtherEpoch, RedisError
from apps.billing.models import GatewayNode
from apps.usage.admin.read_only import ReadOnlyAdmin
from apps.usage.figures import size_text
from chatvault.lib import clock

_TIMEOUT_S = 0.5
_MINUTE_S = 60


@admin.register(GatewayNode)
class NodeAdmin(ReadOnlyAdmin):
    """One row a state folder that gateways write journals in."""

    list_display = ("host", "journal_id", "state", "seen", "waiting", "processes", "held_requests")
    list_display_links = None
    list_filter = ("host",)
    search_fields = ("host", "journal_id")
    search_help_text = "Host name, or the id of a journal folder"
    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    actions = ("declare_lost",)
    list_before_template = "usage/nodes.html"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": "Gateway nodes", "is_shared": shared_limits.is_used()}
        page = super().changelist_view(request, {**context, **(extra_context or {})})
        if isinstance(page, TemplateResponse) and page.context_data and "cl" in page.context_data:
            held = holdings()
            for node in page.context_data["cl"].result_list:
                node.holding = held.get(node.pk, (0, 0)) if held is not None else None
        return page

    def has_lost_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("billing.change_gatewaynode"))

    @display(description="state", label={"alive": "success", "silent": "danger"})
    def state(self, node: GatewayNode) -> tuple[str, str]:
        return ("alive", "alive") if node.is_alive else ("silent", "silent")

    @admin.display(description="last seen", ordering="last_seen_at")
    def seen(self, node: GatewayNode) -> str:
        seconds = (clock.now() - node.last_seen_at).total_seconds()
        if seconds < _MINUTE_S:
            return f"{max(seconds, 0):.0f} s ago"
        return f"{timesince(node.last_seen_at, clock.now())} ago"

    @admin.display(description="waiting for the database", ordering="unshipped_bytes")
    def waiting(self, node: GatewayNode) -> str:
        return size_text(node.unshipped_bytes)

    @admin.display(description="processes that hold something")
    def processes(self, node: GatewayNode) -> str:
        return _shown(node, 0)

    @admin.display(description="requests held")
    def held_requests(self, node: GatewayNode) -> str:
        return _shown(node, 1)

    @admin.action(description="Declare lost: its disk will not come back", permissions=["lost"])
    def declare_lost(self, request: HttpRequest, queryset: QuerySet[GatewayNode]) -> None:
        for node in queryset:
            if node.is_alive:
                text = f"{node.host} was seen a moment ago: it is not lost."
                self.message_user(request, text, messages.ERROR)
                continue
            try:
                freed = forget_node(node)
            except (RedisError, OtherEpoch):
                text = "Redis does not answer now: nothing was changed. Try again."
                self.message_user(request, text, messages.ERROR)
                return
            text = f"{node.host} is forgotten. Requests of it that hold nothing any more: {freed}."
            self.message_user(request, text)


def _shown(node: GatewayNode, which: int) -> str:
    holding = getattr(node, "holding", None)
    return "unknown" if holding is None else str(holding[which])


def holdings() -> dict[str, tuple[int, int]] | None:
    """By node: processes that hold something, and requests in flight or not in the ledger yet.
    None: Redis does not say."""
    if not shared_limits.is_used():
        return None
    books = shared_limits.new_books(_TIMEOUT_S)
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    try:
        if books.look() is None:
            return None
        for owner, count in books.counts().items():
            sums = found[owner.partition("/")[0]]
            sums[0] += 1
            sums[1] += count
    except (RedisError, OtherEpoch):
        return None
    finally:
        books.close()
    return {node: (sums[0], sums[1]) for node, sums in found.items()}


def forget_node(node: GatewayNode) -> int:
    """Free what the node's processes hold. Raises RedisError and OtherEpoch."""
    freed = 0
    if shared_limits.is_used():
        books = shared_limits.new_books(_TIMEOUT_S)
        try:
            books.look()
            for owner in books.owners():
                if owner.partition("/")[0] == node.pk:
                    freed += books.forget(owner)
        finally:
            books.close()
    node.delete()
    return freed
