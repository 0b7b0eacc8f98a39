"""No text holds a NUL: PostgreSQL cannot store one, and nobody means to send one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data")

Answer = Callable[[HttpRequest], HttpResponse]


def without_nul(answer: Answer) -> Answer:
    """Addresses and the fields of forms with a NUL in them are a 400. Files may hold any byte, and
    JSON is looked at by those who read it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("There is a NUL character in the address.")
        if request.content_type in _FORMS and _has_nul(request):
            raise BadRequest("There is a NUL character in the form.")
        return answer(request)

    return middleware


def _has_nul(request: HttpRequest) -> bool:
    return any("\0" in text for name, texts in request.POST.lists() for text in (name, *texts))
