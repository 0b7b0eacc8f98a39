"""Every request to the admin or the API has an id, which what it causes carries on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

from chatvault.lib import correlation
from chatvault.lib.ids import uuid7

HEADER: Final = "X-Request-ID"

Answer = Callable[[HttpRequest], HttpResponse]


def correlated(answer: Answer) -> Answer:
    """The id is the one that a proxy gave, as far as it is fit for one, else new; it comes back."""

    def middleware(request: HttpRequest) -> HttpResponse:
        found = correlation.clean(request.headers.get(HEADER)) or str(uuid7())
        with correlation.within(found):
            response = answer(request)
        response.headers.setdefault(HEADER, found)
        return response

    return middleware
