"""How lists of the API are narrowed. Unknown parameters are refused, so that a typing error does
not show everything."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

_OF_PAGES = frozenset({"cursor", "page_size", "format"})


class StrictFilters(DjangoFilterBackend):
    """django-filter, less the parameters that there are not."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        filterset = self.get_filterset_class(view, queryset)
        if filterset is None:  # the view narrows its list itself
            return queryset
        unknown = sorted(set(request.query_params) - set(filterset.base_filters) - _OF_PAGES)
        if unknown:
            raise ValidationError({unknown[0]: ["There is no such filter."]})
        return super().filter_queryset(request, queryset, view)


class Search(django_filters.CharFilter):
    """Text that any of the fields contains; `%` and `_` stand for themselves."""

    def __init__(self, *fields: str, **more: Any) -> None:
        self._fields = fields
        super().__init__(
            method=self._search, max_length=100, help_text="Text in the name or description."
        )

    def _search(self, queryset: QuerySet[Any], _: str, value: str) -> QuerySet[Any]:
        wanted = Q()
        for field in self._fields:
            wanted |= Q(**{f"{field}__icontains": value})
        return queryset.filter(wanted)
