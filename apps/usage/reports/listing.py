"""Rows of the request log, narrowed by what somebody asks for."""

from __future__ import annotations

from typing import Final

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KeyTextTransform

from apps.usage.models import RequestLog
from apps.usage.reports.query import Dimension, Filters, Scope, Value
from apps.usage.reports.scopes import within
from apps.usage.reports.seek import Asked, Counted

D = Dimension
Rows = QuerySet[RequestLog]
_COLUMNS: Final[dict[Dimension, str]] = {
    D.TEAM: "team_id",
    D.CLIENT: "client_id",
    D.KEY: "key_id",
    D.USER: "user_id",
    D.ALIAS: "alias",
    D.DEPLOYMENT: "deployment_id",
    D.PROVIDER: "provider_id",
    D.OUTCOME: "outcome",
    D.STATUS: "http_status",
    D.ERROR: "error_code",
}
_NONE_IS_NULL: Final = frozenset({D.USER, D.DEPLOYMENT, D.PROVIDER})


def narrowed(rows: Rows, filters: Filters, scope: Scope) -> Rows:
    rows = within(rows, scope)
    for dimension, values in filters.items():
        rows = _tagged(rows, values) if dimension == D.TAG else _among(rows, dimension, values)
    return rows


def _among(rows: Rows, dimension: Dimension, values: tuple[Value, ...]) -> Rows:
    column = _COLUMNS[dimension]
    found = Q(**{f"{column}__in": values})
    if dimension in _NONE_IS_NULL and 0 in values:
        found |= Q(**{f"{column}__isnull": True})
    return rows.filter(found)


def _tagged(rows: Rows, values: tuple[Value, ...]) -> Rows:
    """The key is a part of a JSON path, which Django writes as a value."""
    found = Q(pk__in=())
    for number, value in enumerate(values):
        key, _, text = str(value).partition("=")
        name = f"tag_{number}"
        rows = rows.alias(**{name: KeyTextTransform(key, "tags")})
        found |= Q(**{name: text})
    return rows.filter(found)


def page_at(asked: Asked, *, offset: int, count: int) -> tuple[list[RequestLog], int]:
    """The rows after the first `offset`, and how many there are in all. A deep page costs about
    what the first does."""
    place = Counted(asked).place(offset, count)
    if place.start >= place.end:
        return [], place.total
    rows = narrowed(RequestLog.objects.all(), asked.filters, asked.scope)
    rows = rows.filter(started_at__gte=place.start, started_at__lt=place.end)
    order = ("-started_at", "-pk") if asked.newest_first else ("started_at", "pk")
    return list(rows.order_by(*order)[place.skip : place.skip + count]), place.total
