"""The page of refused requests, with names, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.http import HttpRequest

from apps.accounts.admin.limited import asking
from apps.accounts.models import ApiKey, Client
from apps.usage import refusal_report
from apps.usage.figures import count_text, instant_text
from apps.usage.refused import Refusal, Report


class Row(NamedTuple):
    at: str
    client: str
    client_id: int
    key: str
    key_id: int
    alias: str
    status: int
    code: str
    message: str
    times: int


def refusals_page(request: HttpRequest) -> dict[str, Any]:
    """What `usage/refusals.html` shows, by `client` (an id) and `code` of the query."""
    report, is_stored = refusal_report.report(asking(request))
    context: dict[str, Any] = {"title": "Refusals", "is_stored": is_stored}
    client, code = request.GET.get("client", ""), request.GET.get("code", "")
    clients = dict(
        Client.objects.filter(pk__in=_client_ids(report)).values_list("pk", "name").order_by("name")
    )
    chosen = [one for one in report.latest if _is_chosen(one, client, code)]
    return context | {
        "since": instant_text(datetime.fromtimestamp(report.since_s, UTC)),
        "rows": _rows(chosen, clients),
        "sums": [
            (name_of(clients, number), number, name, count_text(count))
            for number, name, count in report.by_client_and_code()
            if client in ("", str(number)) and code in ("", name)
        ],
        "clients": [(str(pk), name) for pk, name in clients.items()],
        "codes": [name for name, _ in report.by_code()],
        "client": client,
        "code": code,
        "is_filtered": bool(client or code),
    }


def name_of(clients: dict[int, str], number: int) -> str:
    """Whose refusals they are: client 0 are callers whose key is not known."""
    return clients.get(number, f"client {number}") if number else "(no known key)"


def _is_chosen(one: Refusal, client: str, code: str) -> bool:
    return client in ("", str(one.client_id)) and code in ("", one.code)


def _client_ids(report: Report) -> set[int]:
    return {client for client, _ in report.counts if client} | {0}


def _rows(chosen: Collection[Refusal], clients: dict[int, str]) -> list[Row]:
    ids = {one.key_id for one in chosen} | {0}
    keys = dict(ApiKey.objects.filter(pk__in=ids).values_list("pk", "name"))
    return [
        Row(
            at=instant_text(datetime.fromtimestamp(one.at_s, UTC)),
            client=name_of(clients, one.client_id),
            client_id=one.client_id,
            key=keys.get(one.key_id, f"key {one.key_id}"),
            key_id=one.key_id,
            alias=one.alias,
            status=one.status,
            code=one.code,
            message=one.message,
            times=one.count,
        )
        for one in chosen
    ]
