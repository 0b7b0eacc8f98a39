"""Pages on which people decide: nothing else may frame them, learn of them or post to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)


def page(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    status: int = 200,
    then_to: Sequence[str] = (),
) -> HttpResponse:
    """RFC 9700 §4.16 (no frames) and §4.2.4 (no referrer elsewhere: without any, browsers send
    the form with the origin `null`, which the guard against forged forms refuses). `then_to`:
    where an answer to the form may lead, which browsers hold against `form-action`."""
    response = TemplateResponse(request, f"oauth/{template}.html", context, status=status)
    return guarded(response, then_to)


def guarded(response: HttpResponse, then_to: Sequence[str] = ()) -> HttpResponse:
    origins = "".join(f" {_origin(each)}" for each in then_to)
    response["Content-Security-Policy"] = _POLICY + origins
    response["X-Frame-Options"] = "DENY"
    response["Referrer-Policy"] = "same-origin"
    response["Cache-Control"] = "no-store, private"
    return response


def _origin(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
