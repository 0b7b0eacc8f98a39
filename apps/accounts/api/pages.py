"""Lists come a page at a time, by a cursor: new rows do not shift what is read next."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class Pages(CursorPagination):
    """`?page_size=` up to 200; `next` and `previous` are whole addresses."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = "-pk"
